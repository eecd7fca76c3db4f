package reports

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/timeblob/timeblob/bucket"
)

// overview is what a collector knows without asking a store.
type overview struct {
	Pending, MaxPending int64 // bytes
	Full, Closing       bool
	Known               int64 // tenants held in memory or heard of lately
	Tenants             []tenantRow
	More                int64 // tenants that match and are not among those

	Collectors []string // that a querier asks
}

// tenantRow is one tenant of an overview.
type tenantRow struct {
	ID    string
	Heard time.Time // when it last sent a report; zero when that is not known
	tally
	bucket.Share
}

// tally is what was counted of a tenant since it was heard of first, or since
// it was silent for as long as Options.TenantIdle.
type tally struct {
	Received, ReceivedBytes, Stored, StoredBytes int64
}

// overview returns what is known of the tenants of whom match is true, of as
// many as limit says: first those of whom several ticks wait to be stored, the
// most first, then those whose live window is empty, then the others, by their
// ids. When ctx ends it makes do with those it has looked at.
func (c *Collector) overview(ctx context.Context, match func(tenant string) bool, limit int) overview {
	o := overview{Pending: c.live.Pending(), MaxPending: c.live.MaxPending(), Closing: c.closed.Load()}
	o.Full = o.Pending >= o.MaxPending
	heard := c.metrics.lastHeard()
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
			o.Tenants = append(o.Tenants, tenantRow{ID: tenant, Heard: heard[tenant], Share: c.live.Share(tenant)})
		}
	}
	slices.SortStableFunc(o.Tenants, func(a, b tenantRow) int { return cmp.Compare(b.concern(), a.concern()) })
	if n := len(o.Tenants) - limit; n > 0 {
		o.More += int64(n)
		o.Tenants = o.Tenants[:limit]
	}
	for i := range o.Tenants {
		o.Tenants[i].tally = c.metrics.tally(o.Tenants[i].ID)
	}
	return o
}

// overview returns the collectors that the querier asks: they know the tenants.
func (q *Querier) overview(context.Context, func(string) bool, int) overview {
	return overview{Collectors: q.Collectors()}
}

// concern is how early a tenant is to be looked at. That one value waits to be
// stored is so at the end of every tick.
func (t *tenantRow) concern() int {
	switch {
	case t.Values > 1:
		return t.Values
	case t.Ticks == 0:
		return 1
	}
	return 0
}

// containing returns the match of ids that contain a text.
func containing(text string) func(string) bool {
	return func(id string) bool { return strings.Contains(id, text) }
}

// lastHeard returns when each tenant with metrics of its own last sent a
// report. The map is the caller's.
func (m *metrics) lastHeard() map[string]time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	heard := make(map[string]time.Time, len(m.tenants))
	for user, s := range m.tenants {
		if user != crowd {
			heard[user] = s.sent
		}
	}
	return heard
}

// tally reads a tenant's counters.
func (m *metrics) tally(tenant string) (t tally) {
	m.mu.Lock()
	s := m.tenants[tenant]
	m.mu.Unlock()
	if s == nil {
		return t
	}
	return tally{Received: countOf(s.received), ReceivedBytes: countOf(s.receivedBytes),
		Stored: countOf(s.stored), StoredBytes: countOf(s.storedBytes)}
}

// countOf reads a counter; 0 from one that cannot be read.
func countOf(c prometheus.Counter) int64 {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		return 0
	}
	return valueOf(&m)
}
