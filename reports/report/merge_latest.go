package report

// mergeAligned merges latest values of at most fanIn copies of a node if all that
// have some have the same keys, as consecutive reports of a probe do, and if one
// copy has the newest of each. That list is then the result, and nothing is
// allocated. It also returns which lists equal the result; ok is false when the
// lists must be merged key by key.
func mergeAligned(copies []*Node) (newest []Latest, same origins, ok bool) {
	var lists [fanIn][]Latest
	for i, n := range copies {
		if n == nil || len(n.Latest) == 0 {
			continue
		}
		if newest != nil && len(n.Latest) != len(newest) {
			return nil, 0, false
		}
		newest, lists[i] = n.Latest, n.Latest
		same |= 1 << i
	}
	if newest == nil {
		return nil, allOf(len(copies)), true
	}
	for at := range newest {
		best, ok := newestAt(lists[:len(copies)], at)
		if same &= best; !ok || same == 0 {
			return nil, 0, false
		}
	}
	return lists[same.first()], same, true
}

// newestAt returns which of the lists have the newest value at an index; ok is
// false when their keys differ.
func newestAt(lists [][]Latest, at int) (newest origins, ok bool) {
	var best *Latest
	for i := range lists {
		if lists[i] == nil {
			continue
		}
		l, c := &lists[i][at], 1
		if best != nil {
			if l.Key != best.Key {
				return 0, false
			}
			c = preferLatest(l, best)
		}
		switch {
		case c > 0:
			best, newest = l, 1<<i
		case c == 0:
			newest |= 1 << i
		}
	}
	return newest, true
}
