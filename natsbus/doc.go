// Package natsbus carries small messages between processes over NATS.
//
// A Bus is for hints that are worth sending and never worth waiting for. It
// opens whether a server is there or not, connects and connects again for as
// long as it is open, and makes its subscriptions anew each time. While there
// is no connection a message is an error, at once, and none waits here to be
// sent. NATS delivers a message at most once.
//
// # The client
//
// The protocol is spoken by github.com/nats-io/nats.go, which Scope uses, too.
// Two habits of its are kept from the callers here. It holds the lock that
// publishing and subscribing need while it connects, for as long as a server
// that accepts and does not answer lets it; so that only goroutines of a Bus
// wait for that lock, and callers for their contexts. And it closes a connection
// for good at an error of the server that it does not know, whatever it was told
// about reconnecting; a Bus then opens another.
//
// # Servers
//
// Servers are given as one URL or several, separated by commas:
//
//	nats://[user:password@]host[:port]   tls://[token@]host[:port]
//
// Credentials of the first server are those of all that have none of their own.
// Characters that mean something in a URL are escaped in them, as %40 for @.
// With tls:// the server must offer TLS and have a certificate that the
// machine's roots, or Options.TLS, vouch for; a nats:// server that demands TLS
// gets it. Other servers of a cluster are learnt from those that are given.
package natsbus
