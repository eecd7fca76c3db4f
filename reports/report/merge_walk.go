package report

import (
	"slices"

	"github.com/timeblob/timeblob/reports/report/internal/sorted"
)

// A walk goes through sorted lists of nodes side by side, and stops at each node of
// any.
type walk struct {
	home   string
	common int    // bytes that all IDs begin with
	heads  []head // the lists that are not at their ends
	room   [fanIn]head

	copies [fanIn]*Node // of the node where the walk stands, one of each list that has it
	n      int          // how many
}

// A head is the next node of a list, with the part of its ID that decides most
// comparisons, so that the node need not be fetched for them.
type head struct {
	prefix uint64 // of what follows the bytes that all IDs begin with
	rest   []*Node
}

// start begins a walk.
func (w *walk) start(lists [][]*Node, home string) {
	w.home, w.common = home, len(lists[0][0].ID)
	for _, list := range lists {
		for _, end := range []*Node{list[0], list[len(list)-1]} { // the IDs between lie between
			w.common = sorted.Common(lists[0][0].ID[:w.common], end.ID)
		}
	}
	w.heads = w.room[:0]
	for _, list := range lists {
		w.heads = append(w.heads, head{sorted.Prefix(list[0].ID[w.common:]), list})
	}
}

// next goes to the next node. It returns false at the end.
func (w *walk) next() bool {
	if len(w.heads) == 0 {
		return false
	}
	at := w.least()
	ended := false
	for i := range w.heads {
		if at&(1<<i) == 0 {
			continue
		}
		h := &w.heads[i]
		if h.rest = h.rest[1:]; len(h.rest) > 0 {
			h.prefix = sorted.Prefix(h.rest[0].ID[w.common:])
		} else {
			ended = true
		}
	}
	if ended {
		w.heads = slices.DeleteFunc(w.heads, func(h head) bool { return len(h.rest) == 0 })
	}
	return true
}

// least finds the copies of the first node of all lists, and returns the lists that
// have one.
func (w *walk) least() (at origins) {
	var first head
	w.n = 0
	for i, h := range w.heads {
		c := -1
		if w.n > 0 {
			c = w.compare(h, first)
		}
		if c > 0 {
			continue
		}
		if c < 0 {
			first, at, w.n = h, 0, 0
		}
		at |= 1 << i
		w.copies[w.n] = h.rest[0]
		w.n++
	}
	return at
}

// compare compares the nodes of two heads.
func (w *walk) compare(a, b head) int {
	switch {
	case a.prefix < b.prefix:
		return -1
	case a.prefix > b.prefix:
		return 1
	}
	return a.rest[0].Compare(b.rest[0], w.home)
}
