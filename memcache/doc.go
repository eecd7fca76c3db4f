// Package memcache is a cache tier on memcached.
//
// A Tier spreads blobs over servers whose names come from a DNS SRV record or
// from a list, asks each server for the keys that belong to it in multi-gets
// of bounded size and number, and gives up on all of it after one deadline. A
// server that fails several times in a row is left alone until a single
// request, now and then, finds it well again. So a cache that is dead, stopped
// or slow costs its readers little and soon nothing, and never a wrong answer.
//
// # Compatibility
//
// A tier shares its servers with Weave Scope's collectors: both sort the SRV targets as "name.:port" and send a key to the
// server at the position of its CRC-32 (IEEE) modulo their number, and a blob
// is stored as it is, with flags 0. Of SRV records priority and weight are
// ignored, as Scope does.
//
// # The client
//
// The protocol is spoken by github.com/bradfitz/gomemcache, which Scope uses,
// too. grafana/gomemcache, its fork, takes a context in GetMulti, but looks at
// it between two items only and then goes on reading for five timeouts; it
// takes a connection that ends within an answer for the end of the answer, so
// that keys nobody read become misses and the dead connection is used again;
// and its Close leaves idle connections open. What the original lacks is added
// around its connections, of which every client here has one: contexts, one
// deadline for a whole exchange (the client grants a new one with every item),
// a second try when an idle connection turns out to be gone, and a bound on the
// length that an answer may announce.
//
// # Trust
//
// memcached knows neither checksums nor users: whoever can reach the servers
// can put other bytes under a key. Keep them on a private network, or give
// Options.Dial a TLS dialer, and let the codec above recognise what is not its.
package memcache
