// Package reports is a complete Weave Scope report collector: probes post
// reports to it, it merges and stores them by tenant, and query services and
// people read any live or past window back.
//
// [Collector] is [bucket.Collector] made Scope's: it drops runaway topologies,
// upgrades what old probes say, shows shortcuts at once, and counts by tenant.
// [Handler] is its HTTP surface. Both are what Weave Scope 1.13 has, so that
// its probes and query services can talk to them, and more exact: a question
// is answered in full or with an error.
//
// [Querier] takes no reports and answers for several collectors, ours or
// Scope's, that share a store; [NewQueryHandler] is its HTTP surface. What one
// of our collectors holds and has not stored yet it tells at /api/held, so that
// a querier's answers hold every report once, whenever it is asked. A collector
// that does not answer is named in [Answer.Missing].
//
// # Shortcuts
//
// A probe that saw something happen, such as a container that started, posts
// a shortcut: a small report of that alone, seconds before the next regular
// one. It is never stored. It signals who waits ([Collector.WaitOn]), and
// live answers hold it until a report of the same probe has come that was
// made no earlier, or until a window has passed. Which probe a report is of
// is read off what the probe says of itself and off its nodes: the probe's ID
// (the X-Scope-Probe-ID header, control_probe_id) and the hosts' node IDs
// (host_node_id, parents, host nodes). What one tenant's shortcuts take is
// bounded, the oldest go first; so is what all of them take, past which new
// ones are signalled but not kept.
//
// # Tenants
//
// Every request is of one tenant, and no answer holds anything of another. The
// tenant's id comes in a header that [HandlerOptions] names or, with tokens, is
// that of the token's owner; without either, all is of a single tenant.
//
// Tokens and limits are those of a [tenants.Table]. Once it holds a token, each
// request needs one, in Authorization: Bearer TOKEN or, as probes send it, in
// Authorization: Scope-Probe token=TOKEN; only /, /metrics, /healthz and /readyz
// are for everybody. A tenant header that comes with a token must name its
// owner; for a peer's token it says the tenant.
//
// A tenant is limited in how often it posts, in how large its reports are and in
// how much of it waits to be stored. What is over a limit is refused and
// counted, and leaves other tenants alone. A tenant that is not heard of for a
// while takes no memory, and its metrics end.
// # Shortcuts between services
//
// With [Options.Bus] and [Options.ShortcutCache], which are NATS and memcached
// in the command, shortcuts reach other services as they do in Scope, and
// Scope's services can be among those. A shortcut gets the key that its blob
// would have if it were stored, from the tenant and the instant at which it
// came; the blob, gzip'd msgpack, is put into the cache under that key, and the
// key is published on the tenant's subject. Probes do not wait for any of that:
// what fails, or is too much, is counted in shortcut_sends_total and logged at
// most once a second.
//
// A service subscribes to the subject of a tenant while somebody waits for it.
// A message signals who waits. If it is the key of a blob of the tenant's, which
// the key proves, the blob is fetched, checked as one that is posted, and held
// like one until it is superseded here; first that, then the signal. A key is
// taken once, so that a service's own messages mean nothing to it. What becomes
// of messages is counted in shortcut_messages_total.
//
// The subject is the tenant's id. Ids of letters, digits, "-", "_" and single
// dots are literal subjects, of several parts where there are dots, and stand
// for no other tenant's; ids that begin or end with a dot, or hold two in a row,
// are none, and with a bus are refused by Add and WaitOn. The subject of the
// single tenant, whose id is empty, is "tenant=", which no id can be. Scope has
// no subject for that one. Whoever can publish on NATS can make a query service
// draw, and whoever can write to memcached as well can say what: keep both from
// others.
//
// # HTTP
//
//	POST /api/report     takes one report: msgpack or JSON, gzip'd or not
//	GET  /api/report     the merge of a window, as msgpack or JSON
//	GET  /api/probes     the probes heard of in the live window
//	GET  /api/wait       waits for a shortcut
//	GET  /api            who answers here; probes read the id
//	GET  /admin/         a page for operators: tenants, what is stored, hit ratios
//	GET  /admin/summary  a table of the reports stored in a window
//	GET  /api/held       what a collector holds and the store may not, for queriers
//	GET  /metrics        for Prometheus
//	GET  /healthz        200 as long as the process serves, to the end of a shutdown
//	GET  /readyz         200 when requests should be sent here, else 503 and why not
//	GET  /               a list of the above
//
// The window of GET /api/report and /admin/summary ends just before the
// parameter timestamp, which is RFC 3339 or Unix time as [ParseTime] reads it;
// without it, it holds all until now, the tick that is still open included.
// Our own additions to Scope are window, a duration such as 90s or 2h, in place
// of the collector's window, and start with end, two such times that bound the
// question from start until just before end. GET /api/report also knows
// hideCommandLineArguments and hideEnvironmentVariables, which leave out what
// may be secret, and GET /api/probes knows sparse, which asks only whether
// there are any.
//
// Where an answer lacks what could not be asked, the header Timeblob-Missing
// names it, with commas between: collectors, and "store".
//
// GET /api/wait, our own addition, answers {"shortcut":true} as soon as a
// shortcut of the tenant comes, here or, with a bus, anywhere; and 204 when none
// did within the parameter timeout, a duration of at most
// [HandlerOptions.Timeout], 30s unless given. What comes while nobody waits is
// not told afterwards, so that a client asks for the live report after each
// wait, whatever it was answered.
//
// The page at /admin/ needs no scripts, asks the index once for one tenant's
// entries of the last 3 hours (hours, up to 24), waits no longer than 1.5 s for
// that, and reads no report. Where a header names the tenant, a request that has
// it sees that tenant; one without it sees all, and the parameter tenant
// chooses: by a part of the id on the page, by the id in /admin/summary. Keep
// both, like /metrics, from those who may not see every tenant. Where there are
// tokens, both need one: a tenant's shows that tenant, a peer's without the
// header all. Its parameter refresh is in how many seconds a browser asks
// again, 0 for never.
//
// What is wrong with a request is said in one line of plain text:
//
//	400  the body, its content type, a parameter or the tenant's id
//	401  no tenant, where a header must name one; no token, or nobody's, where
//	     there are tokens
//	403  the token is of another tenant than the header names
//	404  no such path; 405 no such method there
//	408  the body did not come in time
//	413  the body is too large: as sent, inflated, or for what may wait to be stored
//	415  a content coding other than gzip
//	429  the tenant posts too often, or too much of it waits to be stored: try
//	     again after Retry-After
//	499  the client left; 504 the answer took too long
//	500  the store failed or is damaged; the line names the blobs' keys
//	503  the collector is full, busy or closing, or a querier finds none: try
//	     again after Retry-After
package reports
