// Command load drives a collector with the posts and questions of many tenants. It reports latencies, memory
// over time, flushes and processor time. It starts a collector, or uses one that runs already. The store is a
// temporary directory. With -store aws the store is the servers that tests use, which scripts/install-servers
// installs.
//
//	go run ./bench/load                       1000 tenants for 5 minutes
//	go run ./bench/load -tenants 50 -duration 30s -- --tick 1s
//	go run ./bench/load -store aws            on DynamoDB Local, versitygw and memcached
//	go run ./bench/load -kills 300            SIGKILLs under load; with -store aws also while the bucket is away
//	go run ./bench/load -store aws -duration 20m -outage 10m    the bucket does not answer for 10 minutes
//	go run ./bench/load -once 100000          as many tenants, each heard of once
//
// Arguments after -- go to "collector serve". Every post holds a node of its own, so that the tool can ask
// some tenants for everything they posted and see whether anything is missing. The exit code is 1 when
// something was lost or refused, and 2 for wrong usage.
//
// A tenant's probe sends one report after the other, as real probes do. A post that takes longer than the
// interval delays the next post, whose latency then counts from the time when it was due. Questions do not
// wait for each other.
package main
