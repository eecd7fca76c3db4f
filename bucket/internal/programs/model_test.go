package programs

import (
	"slices"
	"time"
)

// value is one value that was added.
type value struct {
	tenant string
	id     int
	at     int64 // its instant, Unix nanoseconds; not set while open
	open   bool
	owner  int // the collector that it was added to
}

// model is what collectors and stores must hold, as a list.
type model struct {
	values []value
	ids    []map[string]bool // by collector: tenant and id that were added
	sealed []int64           // by collector: when its ticks ended last
}

// seal ends a collector's open ticks: one tenant's, or every tenant's when it is "*".
func (m *model) seal(owner int, tenant string, now int64) {
	for i := range m.values {
		if v := &m.values[i]; v.open && v.owner == owner && (tenant == "*" || v.tenant == tenant) {
			v.open, v.at = false, now
		}
	}
}

// remove deletes a tenant's values of [from, to).
func (m *model) remove(tenant string, from, to int64) {
	m.values = slices.DeleteFunc(m.values, func(v value) bool {
		return v.tenant == tenant && !v.open && v.at >= from && v.at < to
	})
}

// between returns the sorted ids of a tenant's values of [from, to). Open ticks
// belong to it when it reaches past the present.
func (m *model) between(tenant string, from, to, now int64) (ids []int) {
	for _, v := range m.values {
		switch {
		case v.tenant != tenant:
		case v.open && to > now && from <= now, !v.open && v.at >= from && v.at < to:
			ids = append(ids, v.id)
		}
	}
	slices.Sort(ids)
	return ids
}

// quiet is an instant before which no tick is open.
func (m *model) quiet() int64 { return slices.Min(m.sealed) }

// instants returns the instants of all values, in order.
func (m *model) instants() (all []int64) {
	for _, v := range m.values {
		if !v.open {
			all = append(all, v.at)
		}
	}
	slices.Sort(all)
	return all
}

// start is the clock's time when a program begins.
var start = time.Unix(1_700_000_000, 0)
