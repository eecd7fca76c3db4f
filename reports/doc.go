// Package reports is a complete Weave Scope report collector: probes post reports
// to it, it merges and stores them by tenant, and query services and people read
// any live or past window.
//
// A [Collector] is a [bucket.Collector] of Scope's reports. It drops topologies
// that are too large, upgrades the reports of old probes, shows shortcuts at once,
// and counts by tenant. Probes and query services of Weave Scope 1.13 can talk to
// it. Its answers are exact: a question is answered in full, or with an error, or
// with what is missing.
//
// A [Querier] accepts no reports. It answers from several collectors, ours or
// Scope's, that share a store. Our collectors tell it what they hold and have not
// stored yet, so that its answers hold every report once. It names the collectors
// that do not answer in [Answer.Missing].
//
// The package knows nothing of HTTP: its errors are typed. Package httpapi is the
// HTTP surface of a Collector or a Querier, with the operators' page of package
// admin. Package peers finds collectors and asks them. Package shortcuts keeps
// shortcuts and carries them between services. Package tenants reads credentials
// and limits, and package health tells whether a service is ready.
//
// # Answers about now
//
// An answer about now does not wait for a store that hangs: after a store timeout,
// 1 s by default, it is made from memory, and [Answer.Missing] names the store.
// Answers about the past are exact, or an error.
//
// # Tenants
//
// Every report and every question belongs to one tenant, and no answer holds
// anything of another. The id of the default tenant is empty. The caller checks a
// tenant id once, with CheckTenant.
//
// A tenant is limited in how often it posts, in how large its reports are and in
// how many of its bytes wait to be stored. A report over a limit is refused and
// counted, and does not affect other tenants. A collector keeps nothing in memory
// of a tenant that sends nothing for a while, and its metrics end.
package reports
