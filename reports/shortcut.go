package reports

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/timeblob/timeblob/reports/report"
)

// What shortcuts may take in memory. A real one is a node or two, some kB.
const (
	maxShortcuts           = 64       // of a tenant
	maxTenantShortcutBytes = 4 << 20  // of a tenant
	maxShortcutBytes       = 64 << 20 // of all tenants
)

// shortcuts holds what shortcut reports said until it is superseded.
type shortcuts struct {
	window time.Duration

	mu      sync.Mutex            // guards what follows
	tenants map[string][]shortcut // oldest first; no list is empty
	bytes   int64
}

// shortcut is one shortcut report while it is shown.
type shortcut struct {
	key     string // of its blob, in every service
	report  *report.Report
	sources []string // of what is known, who made it; sorted
	size    int64    // bytes
	arrived time.Time
}

func newShortcuts(window time.Duration) *shortcuts {
	return &shortcuts{window: window, tenants: make(map[string][]shortcut)}
}

// add holds a shortcut, in place of the tenant's oldest where it takes too
// much; false when one of its size cannot be held.
func (s *shortcuts) add(tenant, key string, r *report.Report, probe string, now time.Time) bool {
	c := shortcut{key: key, report: r, sources: sources(r, probe), size: report.Size(r), arrived: now}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.size > maxTenantShortcutBytes || s.bytes+c.size > maxShortcutBytes {
		return false
	}
	s.makeRoom(tenant, c.size)
	s.tenants[tenant] = append(s.tenants[tenant], c)
	s.bytes += c.size
	return true
}

// makeRoom drops a tenant's oldest shortcuts until one of size fits in. The
// mutex is held.
func (s *shortcuts) makeRoom(tenant string, size int64) {
	held := s.tenants[tenant]
	for _, c := range held {
		size += c.size
	}
	for len(held) > 0 && (len(held) >= maxShortcuts || size > maxTenantShortcutBytes) {
		size -= held[0].size
		s.bytes -= held[0].size
		held = slices.Delete(held, 0, 1)
	}
	s.set(tenant, held)
}

// held returns a tenant's shortcuts that are shown at the moment.
func (s *shortcuts) held(tenant string, now time.Time) []shortcut {
	s.mu.Lock()
	defer s.mu.Unlock()
	var held []shortcut
	for _, c := range s.tenants[tenant] {
		if !s.expired(c, now) {
			held = append(held, c)
		}
	}
	return held
}

// reportsOf returns what shortcuts say.
func reportsOf(held []shortcut) []*report.Report {
	said := make([]*report.Report, len(held))
	for i, c := range held {
		said[i] = c.report
	}
	return said
}

// supersede drops the shortcuts that a regular report makes stale: those of
// the same source that were not made after it.
func (s *shortcuts) supersede(tenant string, r *report.Report, probe string) {
	if !s.holds(tenant) {
		return
	}
	from := sources(r, probe)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(tenant, func(c shortcut) bool {
		later := !r.TS.IsZero() && c.report.TS.After(r.TS)
		return later || !overlap(c.sources, from)
	})
}

func (s *shortcuts) holds(tenant string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tenants[tenant]) > 0
}

// expire drops the shortcuts of all tenants that a window has passed over.
func (s *shortcuts) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for tenant := range s.tenants {
		s.keep(tenant, func(c shortcut) bool { return !s.expired(c, now) })
	}
	if len(s.tenants) == 0 {
		s.tenants = make(map[string][]shortcut) // gives back the room that many took
	}
}

func (s *shortcuts) expired(c shortcut, now time.Time) bool {
	return now.Sub(c.arrived) >= s.window
}

// keep drops a tenant's shortcuts that stay does not hold for. The mutex is
// held.
func (s *shortcuts) keep(tenant string, stay func(shortcut) bool) {
	left := slices.DeleteFunc(s.tenants[tenant], func(c shortcut) bool {
		gone := !stay(c)
		if gone {
			s.bytes -= c.size
		}
		return gone
	})
	s.set(tenant, left)
}

// set replaces a tenant's list. The mutex is held.
func (s *shortcuts) set(tenant string, held []shortcut) {
	if len(held) == 0 {
		delete(s.tenants, tenant)
		return
	}
	s.tenants[tenant] = held
}

// overlap reports whether two sorted lists have a string in common.
func overlap(a, b []string) bool {
	for _, s := range a {
		if _, ok := slices.BinarySearch(b, s); ok {
			return true
		}
	}
	return false
}

// sources returns what a report says about who made it, and the probe that is
// said to have: probes' IDs after "probe:", host nodes' IDs after "host:",
// sorted.
func sources(r *report.Report, probe string) []string {
	found := sourceSet{}
	found.note("probe:", probe)
	for _, n := range r.Topologies[report.Host].Nodes {
		found.note("host:", n.ID)
	}
	for k := range r.Topologies {
		for _, n := range r.Topologies[k].Nodes {
			found.noteNode(n)
		}
	}
	return slices.Sorted(maps.Keys(found))
}

type sourceSet map[string]struct{}

func (s sourceSet) noteNode(n *report.Node) {
	s.note("probe:", latest(n, "control_probe_id").Value)
	s.note("host:", latest(n, "host_node_id").Value)
	for _, host := range parents(n, report.Host) {
		s.note("host:", host)
	}
}

func (s sourceSet) note(kind, id string) {
	if id != "" {
		s[kind+id] = struct{}{}
	}
}
