package report

import (
	"cmp"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/timeblob/timeblob/reports/report/internal/sorted"
)

// Validate says why a collector should refuse a report that a client sent, or that
// was made by hand. It returns nil if nothing is wrong. Everything that probes are
// known to send passes. Validate refuses only what would cause a fault later:
//   - TS must be zero or between 1970 and 2262, since keys hold nanoseconds;
//   - Window must not be negative. It has no upper limit: merges add windows up,
//     and a merge may be sent to a collector too;
//   - nodes must have an ID;
//   - names that become keys of the answer (IDs, topologies, keys of nodes'
//     values) must be UTF-8, or JSON could not tell them apart. Values may hold
//     any bytes, as command lines do;
//   - every list that has an order must be in order and hold each key once,
//     which decoding guarantees and merging needs.
//
// The error names the first fault of each topology. It costs about a fifth
// of decoding.
func Validate(r *Report) error { return validator{}.report(r) }

// ValidateDecoded is [Validate] of a report that was just decoded. It does not
// check the order of lists, which decoding made.
func ValidateDecoded(r *Report) error {
	if isSound(r) {
		return nil
	}
	return validator{decoded: true}.report(r)
}

// A validator checks reports. If decoded is true the report was just decoded, and
// the validator does not check the order of lists.
type validator struct{ decoded bool }

func (v validator) report(r *Report) error {
	if r == nil {
		return errors.New("invalid report: it is nil")
	}
	faults := []error{v.head(r)}
	for k := range r.Topologies {
		if err := v.topology(&r.Topologies[k], Kind(k).Name()); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", Kind(k).Wire(), err))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("invalid report: %w", err)
	}
	return nil
}

// isSound reports whether [Validate] finds nothing wrong with a report that was just decoded. It does not say what is
// wrong, and takes a third of the time.
func isSound(r *Report) bool {
	if r == nil || (validator{decoded: true}).head(r) != nil {
		return false
	}
	var g glance
	for k := range r.Topologies {
		g.home = Kind(k).Name()
		if !g.nodes(r.Topologies[k].Nodes, 0) {
			return false
		}
	}
	return true
}

func (v validator) head(r *Report) error {
	last := time.Unix(0, 1<<63-1)
	switch {
	case !r.TS.IsZero() && (r.TS.Before(time.Unix(0, 0)) || r.TS.After(last)):
		return fmt.Errorf("TS %v is not between 1970 and 2262", r.TS)
	case r.Window < 0:
		return fmt.Errorf("the window %v is negative", r.Window)
	}
	return cmp.Or(
		ordered(v, "DNS", r.DNS, (*DNSRecord).Compare),
		ordered(v, "nodes", r.LegacyDNS, (*DNSRecord).Compare),
		ordered(v, "Plugins", r.Plugins, (*PluginSpec).Compare),
		v.dns(r.DNS),
		v.dns(r.LegacyDNS),
	)
}

func (v validator) dns(records []DNSRecord) error {
	for i := range records {
		r := &records[i]
		err := cmp.Or(
			ordered(v, "forward", r.Forward, sorted.Strings),
			ordered(v, "reverse", r.Reverse, sorted.Strings),
			named(r.Address),
		)
		if err != nil {
			return fmt.Errorf("DNS[%.64q]: %w", r.Address, err)
		}
	}
	return nil
}

func (v validator) topology(t *Topology, home string) error {
	for i, n := range t.Nodes {
		if err := v.node(n, home, 0); err != nil {
			return fmt.Errorf("nodes[%d]: %w", i, err)
		}
	}
	for i := range t.TableTemplates {
		if err := ordered(v, "fixedRows", t.TableTemplates[i].FixedRows, (*FixedRow).Compare); err != nil {
			return err
		}
	}
	return cmp.Or(
		ordered(v, "nodes", t.Nodes, func(a, b **Node) int { return (*a).Compare(*b, home) }),
		ordered(v, "controls", t.Controls, (*Control).Compare),
		ordered(v, "metadata_templates", t.MetadataTemplates, (*MetadataTemplate).Compare),
		ordered(v, "metric_templates", t.MetricTemplates, (*MetricTemplate).Compare),
		ordered(v, "table_templates", t.TableTemplates, (*TableTemplate).Compare),
	)
}

func (v validator) node(n *Node, home string, depth int) error {
	switch {
	case n == nil:
		return errors.New("it is nil")
	case n.ID == "":
		return errors.New("it has no ID")
	case depth > maxGenerations:
		return errors.New("nested too deep")
	}
	err := cmp.Or(
		named(n.ID), named(n.Topology),
		ordered(v, "adjacency", n.Adjacency, sorted.Strings),
		ordered(v, "sets", n.Sets, (*StringSet).Compare),
		ordered(v, "parents", n.Parents, (*StringSet).Compare),
		ordered(v, "latest", n.Latest.Keys().Names(), sorted.Strings),
		ordered(v, "metrics", n.Metrics, (*Metric).Compare),
		v.values(n),
		v.children(n, home, depth+1),
	)
	if err != nil {
		return fmt.Errorf("%.64q: %w", n.ID, err)
	}
	return nil
}

func (v validator) children(n *Node, home string, depth int) error {
	for i, child := range n.Children {
		if err := v.node(child, home, depth); err != nil {
			return fmt.Errorf("children[%d]: %w", i, err)
		}
	}
	return ordered(v, "children", n.Children, func(a, b **Node) int { return (*a).Compare(*b, home) })
}

func (v validator) values(n *Node) error {
	for _, key := range n.Latest.Keys().Names() {
		if err := named(key); err != nil {
			return err
		}
	}
	for i := range n.Metrics {
		m := &n.Metrics[i]
		if err := cmp.Or(named(m.Key), ordered(v, "samples", m.Samples, (*Sample).Compare)); err != nil {
			return err
		}
	}
	return cmp.Or(v.sets(n.Sets), v.sets(n.Parents))
}

func (v validator) sets(sets []StringSet) error {
	for i := range sets {
		s := &sets[i]
		if err := cmp.Or(named(s.Key), ordered(v, s.Key, s.Values, sorted.Strings)); err != nil {
			return err
		}
	}
	return nil
}

// named checks what becomes a key.
func named(name string) error {
	if !utf8.ValidString(name) {
		return fmt.Errorf("%.64q is not UTF-8", name)
	}
	return nil
}

// ordered checks that a list is in order and holds each key once.
func ordered[E any](v validator, name string, list []E, order func(a, b *E) int) error {
	if !v.decoded && !sorted.Is(list, order) {
		return fmt.Errorf("%.64q is not in order, or holds a key twice", name)
	}
	return nil
}
