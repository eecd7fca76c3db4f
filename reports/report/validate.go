package report

import (
	"cmp"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// MaxWindow is the longest Window that Validate lets pass. Probes report every
// few seconds; only merges observe longer, and those are not sent.
const MaxWindow = 24 * time.Hour

// Validate says why a collector should refuse a report that was sent to it, or
// made by hand: nil if nothing is wrong. Everything that probes are known to
// send passes, so it is strict about what would break later and about nothing
// else:
//   - TS must be zero or between 1970 and 2262, since keys hold nanoseconds;
//   - Window must be between 0 and [MaxWindow];
//   - nodes must have an ID;
//   - names that become keys of the answer (IDs, topologies, keys of nodes'
//     values) must be UTF-8, or JSON could not tell them apart. Values may hold
//     any bytes, as command lines do;
//   - every list that has an order must be in order and hold each key once,
//     which decoding guarantees and merging needs.
//
// The error names the first fault of each topology. It costs about a fifth
// of decoding.
func Validate(r *Report) error {
	if r == nil {
		return errors.New("invalid report: it is nil")
	}
	faults := []error{validateHead(r)}
	for k := range r.Topologies {
		if err := validateTopology(&r.Topologies[k], Kind(k).Name()); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", Kind(k).Wire(), err))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("invalid report: %w", err)
	}
	return nil
}

func validateHead(r *Report) error {
	last := time.Unix(0, 1<<63-1)
	switch {
	case !r.TS.IsZero() && (r.TS.Before(time.Unix(0, 0)) || r.TS.After(last)):
		return fmt.Errorf("TS %v is not between 1970 and 2262", r.TS)
	case r.Window < 0 || r.Window > MaxWindow:
		return fmt.Errorf("the window %v is not between 0 and %v", r.Window, MaxWindow)
	}
	return cmp.Or(
		ordered("DNS", r.DNS, orderDNS),
		ordered("nodes", r.LegacyDNS, orderDNS),
		ordered("Plugins", r.Plugins, orderPlugins),
		validateDNS(r.DNS),
		validateDNS(r.LegacyDNS),
	)
}

func validateDNS(records []DNSRecord) error {
	for i := range records {
		r := &records[i]
		err := cmp.Or(
			ordered("forward", r.Forward, orderStrings),
			ordered("reverse", r.Reverse, orderStrings),
			named(r.Address),
		)
		if err != nil {
			return fmt.Errorf("DNS[%.64q]: %w", r.Address, err)
		}
	}
	return nil
}

func validateTopology(t *Topology, home string) error {
	for i, n := range t.Nodes {
		if err := validateNode(n, home, 0); err != nil {
			return fmt.Errorf("nodes[%d]: %w", i, err)
		}
	}
	for i := range t.TableTemplates {
		if err := ordered("fixedRows", t.TableTemplates[i].FixedRows, orderFixedRows); err != nil {
			return err
		}
	}
	return cmp.Or(
		ordered("nodes", t.Nodes, func(a, b **Node) int { return compareNodes(*a, *b, home) }),
		ordered("controls", t.Controls, orderControls),
		ordered("metadata_templates", t.MetadataTemplates, orderMetadata),
		ordered("metric_templates", t.MetricTemplates, orderMetricTemplates),
		ordered("table_templates", t.TableTemplates, orderTables),
	)
}

func validateNode(n *Node, home string, depth int) error {
	switch {
	case n == nil:
		return errors.New("it is nil")
	case n.ID == "":
		return errors.New("it has no ID")
	case depth > maxDepth/2:
		return errors.New("nested too deep")
	}
	err := cmp.Or(
		named(n.ID), named(n.Topology),
		ordered("adjacency", n.Adjacency, orderStrings),
		ordered("sets", n.Sets, orderSets),
		ordered("parents", n.Parents, orderSets),
		ordered("latest", n.Latest, orderLatest),
		ordered("metrics", n.Metrics, orderMetrics),
		validateValues(n),
		validateChildren(n, home, depth+1),
	)
	if err != nil {
		return fmt.Errorf("%.64q: %w", n.ID, err)
	}
	return nil
}

func validateChildren(n *Node, home string, depth int) error {
	for i, child := range n.Children {
		if err := validateNode(child, home, depth); err != nil {
			return fmt.Errorf("children[%d]: %w", i, err)
		}
	}
	return ordered("children", n.Children, func(a, b **Node) int { return compareNodes(*a, *b, home) })
}

func validateValues(n *Node) error {
	for i := range n.Latest {
		if err := named(n.Latest[i].Key); err != nil {
			return err
		}
	}
	for i := range n.Metrics {
		m := &n.Metrics[i]
		if err := cmp.Or(named(m.Key), ordered("samples", m.Samples, orderSamples)); err != nil {
			return err
		}
	}
	return cmp.Or(validateSets(n.Sets), validateSets(n.Parents))
}

func validateSets(sets []StringSet) error {
	for i := range sets {
		s := &sets[i]
		if err := cmp.Or(named(s.Key), ordered(s.Key, s.Values, orderStrings)); err != nil {
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
func ordered[E any](name string, list []E, order func(a, b *E) int) error {
	if !isAscending(list, order) {
		return fmt.Errorf("%.64q is not in order, or holds a key twice", name)
	}
	return nil
}
