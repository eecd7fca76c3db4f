// Package memcache is a cache tier on memcached.
//
// A Tier spreads blobs over servers. It takes their names from a DNS SRV record or from a list. It asks each
// server for its keys in multi-gets of limited size and number, under one deadline for all. After several
// failures in a row the circuit of a server opens: the tier sends it no requests, except one now and then to
// see whether it works again. A cache that is dead, stopped or slow therefore costs its readers little, and
// never gives a wrong answer.
//
// # Compatibility
//
// A tier may share its servers with Weave Scope's collectors. Both sort the SRV targets as "name.:port" and
// use the server at the position of the key's CRC-32 (IEEE) modulo the number of servers. Blobs are stored
// unchanged with flags 0. Priority and weight of SRV records are ignored, as in Scope.
//
// # The client
//
// The tier uses github.com/bradfitz/gomemcache, as Scope does. Its fork grafana/gomemcache has contexts in
// GetMulti, but it checks them only between two items and then reads on for five timeouts. The fork also
// takes a connection that breaks within an answer for the end of the answer, so that unread keys become
// misses and the dead connection is used again. Its Close leaves idle connections open. This package adds to
// the original, which has one client for each connection here: contexts, one deadline for a whole exchange
// (the client extends it with every item), a second attempt when an idle connection was closed, and a limit
// for the length that an answer announces.
//
// # Trust
//
// memcached has neither checksums nor users: anyone who can reach the servers can store other bytes under a
// key. Keep the servers on a private network, or set Options.Dial to a TLS dialer, and let the codec detect
// foreign bytes.
package memcache
