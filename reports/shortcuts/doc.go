// Package shortcuts keeps the shortcut reports of probes and signals the
// clients that wait for one.
//
// A shortcut is a small report that a probe sends as soon as something happens,
// such as a container that starts, some seconds before its next regular report.
// It is never stored. A [Hub] keeps it until a regular report from the same
// source arrives that was made no earlier, or until a window has passed.
//
// The source of a report is read from the report: the probe's ID (the header
// X-Scope-Probe-ID, and control_probe_id of nodes) and the IDs of host nodes
// (host_node_id, parents, and the host nodes themselves).
//
// # Shortcuts between services
//
// With a [Bus] and a cache, which are NATS and memcached in the command,
// shortcuts reach other services as they do in Scope, and Scope's services can
// take part. A shortcut gets the key that its blob would have if it were stored:
// the key follows from the tenant and from the instant at which the shortcut
// arrived. The hub puts the blob, gzip'd msgpack, into the cache under that key
// and publishes the key on the tenant's subject. Probes do not wait for this.
// Failures and refusals are counted in shortcut_sends_total and logged at most
// once a second.
//
// A hub subscribes to the subject of a tenant while a client waits for that
// tenant. A message signals the clients. If the message is the key of one of the
// tenant's blobs, which the key itself proves, the hub fetches the blob, checks
// it like a posted one and keeps it, and then signals. A hub accepts each key
// once, so it ignores its own messages. The results are counted in
// shortcut_messages_total.
//
// The subject is the tenant's id. Ids of letters, digits, "-", "_" and single
// dots are literal subjects and match no other tenant's subject. Ids that begin
// or end with a dot, or hold two dots in a row, are not valid subjects:
// [Hub.CheckTenant] refuses them when there is a bus. The subject of the default
// tenant, whose id is empty, is "tenant=", which no id can be; Scope has no
// subject for that tenant.
//
// A client that can publish on NATS can make a query service redraw its page. A
// client that can also write to memcached can choose what the page shows. Keep
// others away from both.
package shortcuts
