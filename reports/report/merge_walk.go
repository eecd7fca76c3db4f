package report

import "github.com/timeblob/timeblob/reports/report/internal/sorted"

// A walk goes through sorted lists of nodes side by side, and stops at each node of
// any.
type walk struct {
	home   string
	common int // bytes that all IDs begin with
	lists  int // how many are not at their ends

	// prefixes holds the part of each list's next ID that decides most comparisons, so
	// that the node need not be fetched for them. rest holds the nodes from there on.
	prefixes [fanIn]uint64
	rest     [fanIn][]*Node

	copies [fanIn]*Node // of the node where the walk stands, one of each list that has it
	n      int          // how many
}

// start begins a walk.
func (w *walk) start(lists [][]*Node, home string) {
	w.home, w.common, w.lists = home, len(lists[0][0].ID), len(lists)
	for _, list := range lists {
		for _, end := range []*Node{list[0], list[len(list)-1]} { // the IDs between lie between
			w.common = sorted.Common(lists[0][0].ID[:w.common], end.ID)
		}
	}
	for i, list := range lists {
		w.rest[i] = list
		w.prefixes[i] = sorted.Prefix(list[0].ID[w.common:])
	}
}

// next goes to the next node. It returns false at the end.
func (w *walk) next() bool {
	if w.lists == 0 {
		return false
	}
	ended := false
	for at := w.least(); at != 0; at &= at - 1 {
		i := at.first()
		rest := w.rest[i][1:]
		w.rest[i] = rest
		if len(rest) > 0 {
			w.prefixes[i] = sorted.Prefix(rest[0].ID[w.common:])
		} else {
			ended = true
		}
	}
	if ended {
		w.dropEnded()
	}
	return true
}

// dropEnded forgets the lists that are at their ends.
func (w *walk) dropEnded() {
	kept := 0
	for i := range w.lists {
		if len(w.rest[i]) > 0 {
			w.prefixes[kept], w.rest[kept] = w.prefixes[i], w.rest[i]
			kept++
		}
	}
	clear(w.rest[kept:w.lists])
	w.lists = kept
}

// least finds the copies of the first node of all lists, and returns the lists that
// have one.
func (w *walk) least() (at origins) {
	with := leastPrefix(w.prefixes[:w.lists])
	w.n = 0
	var first *Node
	for ; with != 0; with &= with - 1 {
		i := with.first()
		n := w.rest[i][0]
		c := -1
		if first != nil {
			c = n.Compare(first, w.home)
		}
		if c > 0 {
			continue
		}
		if c < 0 {
			first, at, w.n = n, 0, 0
		}
		at |= 1 << i
		w.copies[w.n] = n
		w.n++
	}
	return at
}

// leastPrefix returns the lists that have the least prefix.
func leastPrefix(prefixes []uint64) (with origins) {
	least := prefixes[0]
	for _, p := range prefixes {
		least = min(least, p)
	}
	for i, p := range prefixes {
		if p == least {
			with |= 1 << i
		}
	}
	return with
}
