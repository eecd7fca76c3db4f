package report

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/twmb/murmur3"
)

// Merge merges reports as Scope does: it starts from [New] and takes over what
// each part holds. Without parts that is the result. A nil part is an error.
//
// What is merged how:
//   - TS: the earliest that is not zero. Shortcut: false.
//   - Window, Sampling: sums. A sum stops at the greatest number that the field
//     holds. A negative window counts as none.
//   - ID: the hash of the parts' IDs in their order, as Scope names a merge.
//   - DNS, LegacyDNS: by address, each list the union.
//   - Shape, tag, label (with its plural), each topology: the kind's default
//     or, where it has none, the greatest that is not empty.
//   - Table templates: by key, the greatest of each text, the longest columns
//     and fixed rows.
//   - Nodes, and children of nodes: by ID and effective topology; copies that
//     disagree about the topology are kept apart, see [MergeStats.Conflicts].
//     A node has a topology, and is named, when one of its copies has, or is.
//   - Sets and parents of a node: by key, each the union. Adjacency: the union.
//   - Metrics of a node: by key, the samples of all, the least Min and the
//     greatest Max. A metric without samples says nothing about the scale of
//     one that has some.
//   - active_controls of host nodes: the union of the lists, at the newest
//     time.
//   - Everything else: by key, and one of the entries is taken whole.
//
// # Order of the parts
//
// But for the ID, the result depends neither on the order of the parts nor on
// how merges are nested: what Scope decides by order is decided by value here.
// Of several entries under one key the one is taken that is the greatest by
//   - Latest: timestamp, then value.
//   - Sample: value; NaN is the least.
//   - Metadata and metric templates: priority, then the fields in the order in
//     which their type declares them.
//   - Controls, plugins: the fields in the order in which their type declares
//     them.
//   - Columns and fixed rows of a table template: length, then the entries one
//     by one, field by field.
//
// Texts compare bytewise. Times are instants: the zone does not count.
//
// # Sharing and cost
//
// Parts are not modified, and the result shares with them all that is equal:
// lists, whole nodes and whole lists of nodes. So the parts, and the result,
// must not be modified any more; any number of merges may read them at once.
// The cost of a node that all parts have is one comparison for each part; of a node
// that one part has, a short comparison with each of up to 64 parts. What is
// allocated follows what the parts disagree about.
//
// Children nested deeper than 64 are an error when copies of them must be
// merged; decoding refuses them anyway.
func Merge(parts []*Report) (*Report, error) {
	r, _, err := MergeWithStats(parts)
	return r, err
}

// MergeWithStats is [Merge], and says what it did.
func MergeWithStats(parts []*Report) (*Report, MergeStats, error) {
	for i, p := range parts {
		if p == nil {
			return nil, MergeStats{}, fmt.Errorf("merge reports: part %d of %d is nil", i+1, len(parts))
		}
	}
	m := mergers.Get().(*merger)
	defer m.release()
	r := New()
	mergeHeads(r, parts)
	m.mergeShared(r, parts)
	for k := range r.Topologies {
		m.mergeTopology(&r.Topologies[k], Kind(k), parts)
	}
	if m.tooDeep {
		return nil, MergeStats{}, errTooDeep
	}
	return r, m.stats, nil
}

// mergeHeads merges the fields of a report that hold a single value.
func mergeHeads(r *Report, parts []*Report) {
	for _, p := range parts {
		r.TS = earliest(r.TS, p.TS)
		r.Window = time.Duration(sum(uint64(r.Window), uint64(max(0, p.Window)), math.MaxInt64))
		r.Sampling.Count = sum(r.Sampling.Count, p.Sampling.Count, math.MaxUint64)
		r.Sampling.Total = sum(r.Sampling.Total, p.Sampling.Total, math.MaxUint64)
	}
	r.ID = mergedID(parts)
}

// sum returns a + b, or limit if the sum is greater. Neither a nor b is greater
// than limit.
func sum(a, b, limit uint64) uint64 {
	if b > limit-a {
		return limit
	}
	return a + b
}

// earliest returns the earlier of two times. A zero time is unknown, and loses.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// mergedID returns the ID of a merge: the first half of the 128-bit x64
// murmur3 hash of the parts' IDs, in hex without leading zeros.
func mergedID(parts []*Report) string {
	h := murmur3.New64()
	for _, p := range parts {
		h.Write([]byte(p.ID)) // never fails, as every hash.Hash
	}
	return strconv.FormatUint(h.Sum64(), 16)
}

// mergeShared merges what the topologies of a report have in common.
func (m *merger) mergeShared(r *Report, parts []*Report) {
	r.DNS = mergeOf(&m.dns, parts, func(p *Report) []DNSRecord { return p.DNS })
	r.LegacyDNS = mergeOf(&m.dns, parts, func(p *Report) []DNSRecord { return p.LegacyDNS })
	r.Plugins = mergeOf(&m.plugins, parts, func(p *Report) []PluginSpec { return p.Plugins })
}
