// Package tenants reads a collector's tenants file, which says whose the tokens
// are that requests bring, and what each tenant may send. [Parse] reads a text
// once; a [File] is read again whenever it changes.
//
// # Format
//
// The file is text, UTF-8, one tenant a line, in any order:
//
//	# a comment, also at the end of a line
//	acme   token=4Zk1gYQ0bVb1xN7p rate=200 pending=64MiB size=4MiB
//	other  token=sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//	""     token=B5m0xVtq3Q9dKfYw
//	*      token=w3eGJ9r6c2TnLhPz token=Zt8qRk4mXvB1nHs7
//
// The name of a tenant is its id; "" names the single tenant, of which the id
// is empty. Behind it, in any order and with white space between them, stand:
//
//	token=TEXT        a request with TEXT is from this tenant; several may be given
//	token=sha256:HEX  the same, TEXT being what has this SHA-256 sum
//	basic=USER:PASS   HTTP basic authentication with this name and password is
//	                  this tenant, as Scope's basicAuth flags send it
//	basic=sha256:HEX  the same, with the SHA-256 sum of USER:PASS
//	rate=N            reports a second, such as 0.5 or 200
//	pending=BYTES     what may wait to be stored, such as 64MiB
//	size=BYTES        a report as it is posted
//	inflated=BYTES    a report once it is inflated
//
// A limit that is not there is the collector's for all tenants. A token is 1 to
// 512 visible ASCII characters other than quotes and commas. Make it long and
// random, 16 bytes or more of what an entropy source gives: the sum of a short
// one is found by trying.
//
// The name * is of peers: query services and gateways that are let in by a
// token and name the tenant of each request in the tenant header. They have no
// limits of their own.
//
// A file with a token or a basic entry closes the collector to requests without
// credentials. A file without any only sets limits.
package tenants
