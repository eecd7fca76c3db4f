// Package index finds blobs by tenant and time. It keeps one row an hour for
// each tenant; a row holds entries, and an entry names a blob.
//
// [Index] is what a driver implements: two methods. Values can then be added and asked
// for. These interfaces are optional, and the types that use an index look for them:
//
//	Deleter        deletion; the authority must be a tiered.Deleter, and should be a tiered.Lister
//	TenantLister   listing tenants
//	Scanner        one walk in place of a query for each hour, for long ranges and to delete a whole tenant
//	Places         roll-ups of minutes, hours and days
//	Committer      blob and entry in one step, for a store that holds both
//	Versioned      a question that is asked again reads nothing, where one process writes
//	Waiter         a store whose retention waits for roll-ups
//
// [MemIndex], in memory, has all but Committer and Waiter. Sibling packages keep
// an index in a directory (local) or in DynamoDB (dynamoindex). indextest.Run
// checks a driver, and indextest has a check for each optional interface.
//
// # Format
//
// Keys in the stores have the form of Weave Scope's multitenant collector, so
// that both can share tables, buckets and caches. They are frozen.
//
//	hour      floor(instant in Unix nanoseconds / 3 600 000 000 000)
//	row key   <tenant> "-" <hour, decimal>
//	blob key  <MD5 of the row key, 32 lower-case hex digits> "/" <instant, decimal>
//	roll-up   "rollup/" <level in seconds> "/" <blob key of the span's start> "-" <claim>
//
//	tenant "acme", 2023-11-14T22:13:21.088456789Z:
//	row key   acme-472222
//	blob key  01b00ef0afd542a2e90d543c84945e00/1700000001088456789
package index
