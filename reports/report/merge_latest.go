package report

import "strings"

// mergeAligned merges latest values of at most fanIn copies of a node if all that
// have some have the same keys, as consecutive reports of a probe do, and if one
// copy has the newest of each. That list is then the result, and nothing is
// allocated. It also returns which lists equal the result; ok is false when the
// lists must be merged key by key.
func mergeAligned(copies []*Node) (newest []Latest, same origins, ok bool) {
	for _, n := range copies {
		if n != nil && len(n.Latest) > 0 && (newest == nil || preferLatest(&n.Latest[0], &newest[0]) > 0) {
			newest = n.Latest
		}
	}
	if newest == nil {
		return nil, allOf(len(copies)), true
	}
	for i, n := range copies {
		if n == nil || len(n.Latest) == 0 {
			continue
		}
		equal, ok := covers(newest, n.Latest)
		if !ok {
			return nil, 0, false
		}
		if equal {
			same |= 1 << i
		}
	}
	return newest, same, true
}

// covers reports whether two lists have the same keys and no value of the other
// list is preferred to one of newest; equal whether all their values are equal.
func covers(newest, other []Latest) (equal, ok bool) {
	if len(newest) != len(other) {
		return false, false
	}
	if &newest[0] == &other[0] {
		return true, true
	}
	equal = true
	for i := range newest {
		a, b := &newest[i], &other[i]
		if a.Key != b.Key {
			return false, false
		}
		c := a.Timestamp.Compare(b.Timestamp)
		if c == 0 && a.Value != b.Value {
			c = strings.Compare(a.Value, b.Value)
		}
		if c < 0 {
			return false, false
		}
		equal = equal && c == 0
	}
	return equal, true
}
