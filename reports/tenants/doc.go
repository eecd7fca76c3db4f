// Package tenants reads a collector's tenants file. The file says which tenant a token belongs to and how
// much a tenant may send. [Parse] parses a text once; a [File] is read again when it changes.
//
// # Format
//
// The file is UTF-8 text with one tenant on each line, in any order:
//
//	# a comment, also at the end of a line
//	acme   token=4Zk1gYQ0bVb1xN7p rate=200 pending=64MiB size=4MiB
//	other  token=sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//	""     token=B5m0xVtq3Q9dKfYw
//	*      token=w3eGJ9r6c2TnLhPz token=Zt8qRk4mXvB1nHs7
//
// A line begins with the tenant's id; "" is the default tenant, whose id is empty. Then follow, in any order
// and separated by white space:
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
// Without a limit, the collector's limit for all tenants applies. A token is 1 to 512 visible ASCII
// characters except quotes and commas. Make it long and random, with 16 bytes or more from a random
// generator: a short token can be found by trying.
//
// The name * stands for peers: query services and gateways that are allowed in by a token and name the tenant
// of each request in the tenant header. They have no limits of their own.
//
// With a token or a basic entry in the file, the collector refuses requests without credentials. A file
// without them only sets limits.
package tenants
