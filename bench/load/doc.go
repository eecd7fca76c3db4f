// Command load drives a collector of reports as many tenants' probes and some
// people would, and says what that took: latencies, memory over time, flushes,
// processor time. It starts the collector itself, on an embedded store in a
// directory that it removes, or is told where one runs.
//
//	go run ./bench/load                       1000 tenants for 5 minutes
//	go run ./bench/load -tenants 50 -duration 30s -- --tick 1s
//	go run ./bench/load -once 100000          as many tenants, each heard of once
//
// What follows -- goes to "collector serve". Every post holds a node of its
// own, so that in the end the tool can ask some tenants for all that they sent
// and tell whether anything is missing. It exits with 1 when something was
// lost or refused, and with 2 when it was used wrongly.
//
// A tenant's probe posts as real ones do, one report after the other: a post
// that takes longer than the time between two delays the next one, which then
// counts from when it was due. Questions do not wait for each other.
package main
