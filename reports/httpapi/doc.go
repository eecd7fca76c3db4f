// Package httpapi is the HTTP surface of a [reports.Collector] or a
// [reports.Querier]. It speaks Weave Scope 1.13's API and adds to it.
//
// # Paths
//
//	POST /api/report     accepts one report: msgpack or JSON, gzip'd or not
//	GET  /api/report     the merge of a window, as msgpack or JSON
//	GET  /api/probes     the probes in the live window
//	GET  /api/wait       waits for a shortcut
//	GET  /api            the ID and version of the collector; probes read the ID
//	GET  /admin/         the operators' page: tenants, what is stored, hit ratios
//	GET  /admin/summary  a table of the reports stored in a window
//	GET  /api/held       what a collector holds and the store may lack, for queriers
//	GET  /metrics        metrics for Prometheus
//	GET  /healthz        200 as long as the process serves, to the end of a shutdown
//	GET  /readyz         200 when requests should be sent here, else 503 and the reasons
//	GET  /               a list of these paths
//
// The window of GET /api/report and /admin/summary ends just before the parameter
// timestamp, which is RFC 3339 or Unix time as [reports.ParseTime] reads it.
// Without it, the window holds all until now, with the open tick. These parameters
// are our additions to Scope: window is a duration such as 90s or 2h, in place of
// the collector's window; start and end are two times, and the question is about
// the range from start until just before end, of at most [Options.MaxRange]. GET /api/report also has Scope's
// hideCommandLineArguments and hideEnvironmentVariables, which leave out possible
// secrets. GET /api/probes has sparse, which asks only whether there are probes.
//
// A stored report that cannot be read makes GET /api/report fail, and the error
// names it. With the parameter partial=true the answer leaves it out.
//
// A range that begins or ends inside a span which only has its merge left fails
// with 400, and the error names the nearest range that can be answered. With the
// parameter round=true that range is answered, and the header Timeblob-Range says
// which it is: begin and end in RFC 3339, with a slash between.
//
// When an answer is incomplete, the header Timeblob-Missing names what it lacks,
// with commas between: collectors, "store", "clock" for a window after the clock
// was set, "journal" for times before the start of a collector whose journal is
// damaged, and entries with their keys and instants. A query service names what its
// collectors lack, too, such as "journal of 10.0.0.1:4040". It names up to 20 and counts
// the others.
//
// GET /api/wait is our addition. It answers {"shortcut":true} as soon as a shortcut
// of the tenant arrives, here or, with a bus, at any service. It answers 204 when
// none arrives within the parameter timeout, a duration of at most
// [Options.Timeout]; default 30s. Shortcuts that arrive while no client waits are
// not reported later, so a client should ask for the live report after each wait.
//
// The page at /admin/ needs no scripts. For one tenant it asks the index once for
// the entries of the last 3 hours (parameter hours, up to 24) and once for each
// length of roll-ups, and waits at most 1.5 s for the answers. If a header names the tenant, a request with the header sees that
// tenant. A request without it sees all, and the parameter tenant selects: by a part
// of the id on the page, by the id in /admin/summary. Keep both pages, like /metrics,
// from clients that may not see every tenant. With tokens, both pages need one: a
// tenant's token shows that tenant, a peer's token without the header shows all.
// The parameter refresh is the seconds until a browser reloads the page, 0 for
// never.
//
// # Tenants
//
// Each request belongs to one tenant. Its id is in the header that
// [Options.TenantHeader] names or, with tokens, the tenant is the owner of the
// token. Without either, all requests belong to the default tenant.
//
// Tokens and limits are in a [tenants.Table]. Once the table holds a token, each
// request needs one, in Authorization: Bearer TOKEN or, as probes send it, in
// Authorization: Scope-Probe token=TOKEN. Only /, /metrics, /healthz and /readyz
// need none. A tenant header that comes with a tenant's token must name the same
// tenant; with a peer's token it names the tenant of the request.
//
// # Statuses
//
// An error is one line of plain text:
//
//	400  the body, its content type, a parameter or the tenant's id is wrong
//	401  no tenant, where a header must name one; no token, or an unknown one,
//	     where there are tokens
//	403  the token belongs to another tenant than the header names
//	404  no such path; 405 no such method there
//	408  the body did not arrive in time
//	413  the body is too large: as sent, inflated, or for what may wait to be stored
//	415  a content coding other than gzip
//	429  the tenant posts too often, or too many of its bytes wait to be stored: try
//	     again after Retry-After
//	499  the client left; 504 the answer took too long
//	500  the store failed or is damaged; the line names the keys of the blobs
//	503  the collector is full, busy, closing or at its limit of tenants, or a query
//	     service finds no collector: try again after Retry-After
package httpapi
