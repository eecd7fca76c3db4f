package report

import (
	"sort"
	"unsafe"

	"github.com/tinylib/msgp/msgp"
)

// openMap begins a map and returns how many keys it has, 0 for nil. Whoever
// reads it through takes 1 off depth.
func (d *decoder) openMap() int { return d.open(msgp.ReadMapHeaderBytes, 2) }

// openList begins an array and returns its length, 0 for nil. Whoever reads it
// through takes 1 off depth.
func (d *decoder) openList() int { return d.open(msgp.ReadArrayHeaderBytes, 1) }

// open reads the header of what holds elements of least bytes or more. A length
// that what is left cannot hold is refused before anything is allocated for it.
func (d *decoder) open(header func([]byte) (uint32, []byte, error), least int) int {
	d.depth++
	if d.null() {
		return 0
	}
	n, rest, err := header(d.in)
	n = take(d, n, rest, err)
	switch {
	case d.depth > maxDepth:
		d.malformed("nested more than %d deep", maxDepth)
		return 0
	case int64(n)*int64(least) > int64(len(d.in)):
		d.fail(ErrTruncated)
		return 0
	}
	return int(n)
}

// fields reads a map, and calls yield where the value of each key stands. The
// name is part of the input. Yield must consume the value.
func (d *decoder) fields(yield func(name []byte) bool) {
	for range d.openMap() {
		name := d.raw()
		if d.err != nil || !yield(name) {
			return
		}
		if d.err != nil {
			d.within(".%.64s", name)
			return
		}
	}
	d.depth--
}

// keyed reads a map into a list of one element for each key, in that order.
func keyed[E any](d *decoder, a *arena[E], one func(*decoder, string, *E), order func(a, b *E) int) []E {
	elements := a.take(d, d.openMap())
	for i := range elements {
		key := d.text()
		if d.err != nil {
			return nil
		}
		if one(d, key, &elements[i]); d.err != nil {
			d.within("[%.64q]", key)
			return nil
		}
	}
	d.depth--
	return ascending(elements, order)
}

// list reads an array into a list.
func list[E any](d *decoder, a *arena[E], one func(*decoder, *E)) []E {
	elements := a.take(d, d.openList())
	for i := range elements {
		if one(d, &elements[i]); d.err != nil {
			d.within("[%d]", i)
			return nil
		}
	}
	d.depth--
	return elements
}

// list reads an array of strings, set one that has no order.
func (d *decoder) list() []string {
	return list(d, &d.texts, func(d *decoder, s *string) { *s = d.text() })
}

func (d *decoder) set() []string { return ascending(d.list(), orderStrings) }

// An arena cuts lists from bigger allocations. One kept list keeps its whole
// chunk, so chunks stay small. A nil arena allocates each list for itself.
type arena[E any] struct {
	free  []E
	chunk int // length of the latest chunk
}

// take returns a list of n zero elements, nil if n is 0 or the decoder has no
// memory left.
func (a *arena[E]) take(d *decoder, n int) []E {
	var e E
	n = d.spend(n, unsafe.Sizeof(e))
	switch {
	case n == 0:
		return nil
	case a == nil || n >= slabMax/2:
		return make([]E, n)
	case n > len(a.free):
		a.chunk = max(n, min(max(2*a.chunk, slabMin), slabMax))
		a.free = make([]E, a.chunk)
	}
	list := a.free[:n:n]
	a.free = a.free[n:]
	return list
}

// ascending returns the list in order, with the last of equal elements only.
// It costs one pass when the list is in order already.
func ascending[E any](list []E, order func(a, b *E) int) []E {
	if !isAscending(list, order) {
		sort.Stable(&sorter[E]{list, order})
		list = lastOfEach(list, order)
	}
	return list
}

func isAscending[E any](list []E, order func(a, b *E) int) bool {
	for i := 1; i < len(list); i++ {
		if order(&list[i-1], &list[i]) >= 0 {
			return false
		}
	}
	return true
}

// lastOfEach keeps the last of each run of equal elements.
func lastOfEach[E any](list []E, order func(a, b *E) int) []E {
	kept := list[:0]
	for i := range list {
		if i+1 == len(list) || order(&list[i], &list[i+1]) != 0 {
			kept = append(kept, list[i])
		}
	}
	clear(list[len(kept):])
	return kept[:len(kept):len(kept)]
}

// A sorter compares elements where they lie, without copying them.
type sorter[E any] struct {
	list  []E
	order func(a, b *E) int
}

func (s *sorter[E]) Len() int           { return len(s.list) }
func (s *sorter[E]) Less(i, j int) bool { return s.order(&s.list[i], &s.list[j]) < 0 }
func (s *sorter[E]) Swap(i, j int)      { s.list[i], s.list[j] = s.list[j], s.list[i] }
