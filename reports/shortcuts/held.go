package shortcuts

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/timeblob/timeblob/reports/report"
)

// Limits of the memory for shortcuts. A real shortcut holds a node or two, some kB.
const (
	maxShortcuts           = 64       // of a tenant
	maxTenantShortcutBytes = 4 << 20  // of a tenant
	maxShortcutBytes       = 64 << 20 // of all tenants
)

// store holds shortcuts until they are superseded or expire.
type store struct {
	window time.Duration

	mu      sync.Mutex            // guards the fields below
	tenants map[string][]Shortcut // oldest first; no list is empty
	bytes   int64
}

// Shortcut is one shortcut report that live answers hold.
type Shortcut struct {
	Key    string         // of its blob, the same in every service
	Report *report.Report // shared: nobody may change it
	Err    error          // why a collector's shortcut cannot be read; a hub holds none with an Err

	sources []string // the probes and hosts that made it, as far as known; sorted
	size    int64    // bytes
	arrived time.Time
}

func newStore(window time.Duration) *store {
	return &store{window: window, tenants: make(map[string][]Shortcut)}
}

// add keeps a shortcut, and drops the tenant's oldest ones where they would take
// too much together. It returns false when the shortcut is too large, or the
// shortcuts of all tenants take too much.
func (s *store) add(tenant, key string, r *report.Report, probe string, now time.Time) bool {
	c := Shortcut{Key: key, Report: r, sources: sources(r, probe), size: report.Size(r), arrived: now}
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

// makeRoom drops a tenant's oldest shortcuts until size more bytes fit. The
// mutex is held.
func (s *store) makeRoom(tenant string, size int64) {
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

// held returns a tenant's shortcuts that have not expired, the oldest first.
func (s *store) held(tenant string, now time.Time) []Shortcut {
	s.mu.Lock()
	defer s.mu.Unlock()
	var held []Shortcut
	for _, c := range s.tenants[tenant] {
		if !s.expired(c, now) {
			held = append(held, c)
		}
	}
	return held
}

// Reports returns the reports of shortcuts.
func Reports(held []Shortcut) []*report.Report {
	said := make([]*report.Report, len(held))
	for i, c := range held {
		said[i] = c.Report
	}
	return said
}

// supersede drops the shortcuts that a regular report replaces: they have a
// source in common, and the shortcut was not made after the report.
func (s *store) supersede(tenant string, r *report.Report, probe string) {
	if !s.holds(tenant) {
		return
	}
	from := sources(r, probe)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(tenant, func(c Shortcut) bool {
		later := !r.TS.IsZero() && c.Report.TS.After(r.TS)
		return later || !overlap(c.sources, from)
	})
}

// holds reports whether there are shortcuts of a tenant.
func (s *store) holds(tenant string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tenants[tenant]) > 0
}

// expire drops the shortcuts of all tenants that are a window old.
func (s *store) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for tenant := range s.tenants {
		s.keep(tenant, func(c Shortcut) bool { return !s.expired(c, now) })
	}
	if len(s.tenants) == 0 {
		s.tenants = make(map[string][]Shortcut) // releases the memory of a map that was large
	}
}

func (s *store) expired(c Shortcut, now time.Time) bool {
	return now.Sub(c.arrived) >= s.window
}

// keep drops the shortcuts of a tenant for which stay returns false. The mutex
// is held.
func (s *store) keep(tenant string, stay func(Shortcut) bool) {
	left := slices.DeleteFunc(s.tenants[tenant], func(c Shortcut) bool {
		gone := !stay(c)
		if gone {
			s.bytes -= c.size
		}
		return gone
	})
	s.set(tenant, left)
}

// set replaces a tenant's list. The mutex is held.
func (s *store) set(tenant string, held []Shortcut) {
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

// sources returns the probes and hosts that made a report, sorted: IDs of probes
// after "probe:", IDs of host nodes after "host:". The probe is the sender's ID,
// or empty.
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
	s.note("probe:", n.LatestOf("control_probe_id").Value)
	s.note("host:", n.LatestOf("host_node_id").Value)
	for _, host := range n.ParentsIn(report.Host) {
		s.note("host:", host)
	}
}

func (s sourceSet) note(kind, id string) {
	if id != "" {
		s[kind+id] = struct{}{}
	}
}
