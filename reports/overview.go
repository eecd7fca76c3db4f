package reports

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
)

// Overview is what a collector knows without reading a store.
type Overview struct {
	Pending, MaxPending int64 // bytes
	Full, Closing       bool
	Known               int64 // tenants with reports in memory or metrics
	Tenants             []TenantRow
	More                int64 // tenants that match and are not listed

	Collectors []string // addresses, of a querier only

	Levels []bucket.LevelStats // what this process builds; empty for nothing
}

// TenantRow is one tenant of an Overview.
type TenantRow struct {
	ID    string
	Heard time.Time // when its last report arrived; zero if unknown
	Counts
	bucket.Share
}

// Overview lists up to limit of the tenants for which match returns true: first
// the tenants with several ticks that wait to be stored, the most first, then
// those with an empty live window, then the others, by id. When ctx ends it
// counts the remaining ones only.
func (c *Collector) Overview(ctx context.Context, match func(tenant string) bool, limit int) Overview {
	now := c.live.Stats()
	o := Overview{Pending: now.Bytes, MaxPending: now.MaxBytes, Closing: c.closed.Load(),
		Levels: c.live.Past().LevelStats()}
	o.Full = o.Pending >= o.MaxPending
	heard := c.metrics.lastHeard()
	inTime, cancel := context.WithTimeout(ctx, maxShare)
	defer cancel()
	for _, tenant := range c.live.LiveTenants() {
		if _, ok := heard[tenant]; !ok {
			heard[tenant] = time.Time{}
		}
	}
	o.Known = int64(len(heard))
	for _, tenant := range slices.Sorted(maps.Keys(heard)) {
		switch {
		case !match(tenant):
		case ctx.Err() != nil:
			o.More++
		default:
			share, _ := c.live.Share(inTime, tenant) // the error is the context's
			o.Tenants = append(o.Tenants, TenantRow{ID: tenant, Heard: heard[tenant], Share: share})
		}
	}
	slices.SortStableFunc(o.Tenants, func(a, b TenantRow) int { return cmp.Compare(b.urgency(), a.urgency()) })
	if n := len(o.Tenants) - limit; n > 0 {
		o.More += int64(n)
		o.Tenants = o.Tenants[:limit]
	}
	for i := range o.Tenants {
		o.Tenants[i].Counts = c.metrics.counts(o.Tenants[i].ID)
	}
	return o
}

// maxShare is how long an overview waits for all tenants whose merges have not returned.
// Such a tenant is then listed without what it has in memory.
const maxShare = time.Second

// Overview lists the collectors that the querier asks; a querier does not know
// the tenants.
func (q *Querier) Overview(context.Context, func(string) bool, int) Overview {
	return Overview{Collectors: q.Collectors(), Levels: q.past.Past().LevelStats()}
}

// urgency orders tenants by how soon an operator should look at them. One
// waiting value is normal at the end of every tick.
func (t *TenantRow) urgency() int {
	switch {
	case t.Values > 1:
		return t.Values
	case t.Ticks == 0:
		return 1
	}
	return 0
}

// Activity is when reports of a tenant were stored, or wait to be stored, and
// what is rolled up of them.
type Activity struct {
	Stored  []index.Entry // in the index, ascending
	Waiting []index.Entry // in memory only, ascending

	Levels []bucket.LevelSpans // spans of these hours; empty where levels are off
}

// Activity returns the entries of a tenant since an instant. It asks the index
// once, and once for each level, and reads no blob.
func (c *Collector) Activity(ctx context.Context, tenant string, from time.Time) (a Activity, err error) {
	waiting, err := c.live.Waiting(ctx, tenant) // first: an entry that is stored meanwhile is then in both lists
	if err != nil {
		return a, err
	}
	if a.Stored, err = c.entries(ctx, tenant, from, c.AfterNow()); err != nil {
		return a, err
	}
	a.Waiting = unstored(waiting, a.Stored, from)
	a.Levels, err = c.live.Past().LevelSpans(ctx, tenant, from, c.AfterNow())
	return a, err
}

// Activity returns the stored entries of a tenant since an instant.
func (q *Querier) Activity(ctx context.Context, tenant string, from time.Time) (a Activity, err error) {
	if a.Stored, err = q.entries(ctx, tenant, from, q.AfterNow()); err != nil {
		return a, err
	}
	a.Levels, err = q.past.Past().LevelSpans(ctx, tenant, from, q.AfterNow())
	return a, err
}

// unstored returns the entries of waiting since an instant that are not in
// stored.
func unstored(waiting, stored []index.Entry, from time.Time) (left []index.Entry) {
	for _, e := range waiting {
		i, found := slices.BinarySearchFunc(stored, e.Time, func(s index.Entry, at int64) int { return cmp.Compare(s.Time, at) })
		if (!found || stored[i].Key != e.Key) && e.Time >= from.UnixNano() {
			left = append(left, e)
		}
	}
	return left
}
