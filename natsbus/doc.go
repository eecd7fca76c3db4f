// Package natsbus carries small messages between processes over NATS.
//
// A Bus is for hints that are worth sending but not worth waiting for. It opens with or without a server.
// While it is open it reconnects by itself and subscribes again after each connect. Without a connection,
// Publish returns an error at once and nothing is buffered. NATS delivers a message at most once.
//
// # The client
//
// Bus uses github.com/nats-io/nats.go, as Scope does. It shields its callers from two properties of this client. First, while the client connects it holds the lock that publishing and subscribing need, possibly
// for long; only goroutines of the Bus wait for that lock, and callers wait for their contexts. Second, the
// client closes a connection for good after an unknown error of the server, even when told to reconnect; the
// Bus then opens another connection.
//
// # Servers
//
// Servers are given as one URL or several, separated by commas:
//
//	nats://[user:password@]host[:port]   tls://[token@]host[:port]
//
// Servers without credentials use the credentials of the first server. Special characters in credentials must
// be escaped, for example @ as %40. With tls:// the server must offer TLS with a certificate that the
// machine's roots or Options.TLS accept. A nats:// server that demands TLS gets TLS. The client learns the
// other servers of a cluster from the given ones.
package natsbus
