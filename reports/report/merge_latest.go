package report

import (
	"slices"
	"strings"

	"github.com/timeblob/timeblob/reports/report/internal/sorted"
)

// mergeLatest merges the latest values of at most fanIn copies of a node. Elements of
// copies may be nil.
func (m *merger) mergeLatest(copies []*Node, host bool) (Values, origins) {
	if newest, same, ok := newestOf(copies); ok && (!host || agreeOnControls(copies, newest)) {
		return newest, same
	}
	if host {
		return m.mergeByKey(&m.hostLatest, copies)
	}
	return m.mergeByKey(&m.latest, copies)
}

// newestOf merges latest values if all copies that have some have the same keys, as
// consecutive reports of a probe do, and if one copy has the newest of each. Its values
// are then the result, and nothing is allocated. It also returns which copies equal the
// result; ok is false when the values must be merged key by key.
func newestOf(copies []*Node) (result Values, same origins, ok bool) {
	var newest *Values
	for _, n := range copies {
		if n != nil && len(n.Latest.list) > 0 && (newest == nil || n.Latest.likelyNewer(newest)) {
			newest = &n.Latest
		}
	}
	if newest == nil {
		return Values{}, allOf(len(copies)), true
	}
	for i, n := range copies {
		if n == nil || len(n.Latest.list) == 0 {
			continue
		}
		equal, ok := newest.covers(&n.Latest)
		if !ok {
			return Values{}, 0, false
		}
		if equal {
			same |= 1 << i
		}
	}
	return *newest, same, true
}

// likelyNewer reports whether v rather than other may have the newest value of each
// key. Both have values.
func (v *Values) likelyNewer(other *Values) bool {
	switch {
	case v.oldest != other.oldest:
		return v.oldest > other.oldest
	case v.newest != other.newest:
		return v.newest > other.newest
	}
	return preferStamped(&v.list[0], &other.list[0]) > 0
}

// covers reports whether two lists have the same keys and no value of the other list
// is preferred to one of v; equal whether all their values are equal. Both have values.
func (v *Values) covers(other *Values) (equal, ok bool) {
	switch {
	case !sameKeys(v.keys, other.keys):
		return false, false
	case &v.list[0] == &other.list[0]:
		return true, true
	case v.oldest > other.newest:
		return false, true
	}
	equal = true
	for i := range v.list {
		c := preferStamped(&v.list[i], &other.list[i])
		if c < 0 {
			return false, false
		}
		equal = equal && c == 0
	}
	return equal, true
}

func preferStamped(a, b *Stamped) int {
	if c := a.Timestamp.Compare(b.Timestamp); c != 0 || a.Value == b.Value {
		return c
	}
	return strings.Compare(a.Value, b.Value)
}

// agreeOnControls reports whether copies of a host that have the same keys have the
// same list of controls, in the form of a merge.
func agreeOnControls(copies []*Node, newest Values) bool {
	at, ok := slices.BinarySearch(newest.Keys().Names(), activeControls)
	if !ok {
		return true
	}
	controls := newest.list[at].Value
	for _, n := range copies {
		if n != nil && len(n.Latest.list) > 0 && n.Latest.list[at].Value != controls {
			return false
		}
	}
	return controls == unionOfControls([]*Latest{{Value: controls}})
}

// mergeByKey merges latest values key by key.
func (m *merger) mergeByKey(z *zipper[Latest], copies []*Node) (Values, origins) {
	m.entries = m.entries[:0]
	for _, n := range copies {
		if n != nil {
			m.entries = slices.AppendSeq(m.entries, n.Latest.All())
		}
	}
	lists, rest := z.lists[:0], m.entries
	for _, n := range copies {
		count := 0
		if n != nil {
			count = n.Latest.Len()
		}
		lists, rest = append(lists, rest[:count]), rest[count:]
	}
	z.lists, z.out = lists, z.out[:0]
	if same := z.run(lists); same != 0 {
		return copies[same.first()].Latest, same
	}
	return m.valuesOf(z.out, copies), 0
}

// valuesOf returns the given values. They share their keys with a copy or with the
// values that were made before, if these have the same keys.
func (m *merger) valuesOf(list []Latest, copies []*Node) Values {
	m.names = m.names[:0]
	stamped := m.stamped.room(len(list))
	for i := range list {
		m.names = append(m.names, list[i].Key)
		stamped = append(stamped, Stamped{list[i].Timestamp, list[i].Value})
	}
	for _, n := range copies {
		if n != nil && sorted.Equal(n.Latest.Keys().Names(), m.names) {
			return ValuesUnder(n.Latest.keys, stamped)
		}
	}
	if !sorted.Equal(m.keys.Names(), m.names) {
		m.keys = KeysOf(slices.Clone(m.names))
	}
	return ValuesUnder(m.keys, stamped)
}

// activeControls is the latest value that lists, joined by semicolons, the
// controls that a node offers.
const activeControls = "active_controls"

// joinHostLatest merges latest values of a host: several probes may run on
// one, each with controls of its own.
func joinHostLatest(group []*Latest) (Latest, origins) {
	newest, same := pick(preferLatest)(group)
	if newest.Key != activeControls || same == present(group) {
		return newest, same
	}
	newest.Value = unionOfControls(group)
	same = 0
	for i, l := range group {
		if l != nil && preferLatest(l, &newest) == 0 {
			same |= 1 << i
		}
	}
	return newest, same
}

// unionOfControls returns the names in all lists of a group, sorted.
func unionOfControls(group []*Latest) string {
	var names []string
	for _, l := range group {
		if l != nil {
			names = append(names, strings.Split(l.Value, ";")...)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > 1 && names[0] == "" {
		names = names[1:]
	}
	return strings.Join(names, ";")
}
