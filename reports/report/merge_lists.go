package report

import (
	"math/bits"
	"slices"
)

// fanIn is how many lists one pass of a zipper reads side by side. A pass
// compares the heads of its lists one by one, so this bounds what an element
// costs; more lists than this are merged in groups, and then the groups.
const fanIn = 64

// origins is a set of the lists of one pass: bit i stands for list i.
type origins uint64

// first returns the lowest member of a set that is not empty.
func (o origins) first() int { return bits.TrailingZeros64(uint64(o)) }

// allOf returns the set of the first n lists, n ≤ fanIn.
func allOf(n int) origins { return origins(1<<n - 1) }

// present returns the members of a group, whose other places are nil.
func present[E any](group []*E) origins {
	var in origins
	for i, e := range group {
		if e != nil {
			in |= 1 << i
		}
	}
	return in
}

// zipper merges sorted lists into one. It holds the scratch memory of a pass,
// so it serves one pass at a time.
type zipper[E any] struct {
	// order compares by key. Every list is sorted by it.
	order func(a, b *E) int
	// join makes one element of the elements that share a key. group[i] is the
	// element of list i, or nil. join also returns which elements equal the
	// result by meaning.
	join func(group []*E) (E, origins)
	// equal reports, quickly, whether two lists are equal. It may return false
	// for equal lists. If equal is nil, lists are equal if they share memory.
	equal func(a, b []E) bool
	// follow is set where lists often begin after others end.
	follow bool

	in    [][]E // lists gathered for mergeAll
	lists [][]E // the lists of the pass
	heads [][]E // the unread rest of each list
	group []*E
	out   []E
	made  slab[E]
}

// forget forgets what was merged, and keeps the scratch memory. It lets go of the
// slab, since a list that is in use would keep what later merges add to its chunk.
func (z *zipper[E]) forget() {
	z.in, z.lists, z.heads = forgotten(z.in), forgotten(z.lists), forgotten(z.heads)
	z.group, z.out = forgotten(z.group), forgotten(z.out)
	z.made = slab[E]{}
}

// maxScratch is how many elements of scratch memory are kept.
const maxScratch = 1 << 14

// forgotten returns an empty list in the memory of scratch, which then holds
// nothing.
func forgotten[E any](scratch []E) []E {
	if cap(scratch) > maxScratch {
		return nil
	}
	clear(scratch[:cap(scratch)])
	return scratch[:0]
}

// merge merges at most fanIn lists and returns which of them equal the result by
// meaning. If a list equals the result, that list itself is the result, and no
// new list is made.
func (z *zipper[E]) merge(lists [][]E) ([]E, origins) {
	if list, same, ok := soleList(lists, z.equal); ok {
		return list, same
	}
	z.out = z.out[:0]
	if z.follow && z.ascend(lists) {
		return z.made.concat(lists), 0
	}
	same := z.run(lists)
	if same != 0 {
		return lists[same.first()], same
	}
	return z.made.clone(z.out), 0
}

// ascend reports whether each list ends before the next one begins, as the
// samples of consecutive reports do.
func (z *zipper[E]) ascend(lists [][]E) bool {
	var last *E
	for _, list := range lists {
		if len(list) == 0 {
			continue
		}
		if last != nil && z.order(last, &list[0]) >= 0 {
			return false
		}
		last = &list[len(list)-1]
	}
	return true
}

// run reads the lists to their ends, into z.out.
func (z *zipper[E]) run(lists [][]E) origins {
	z.heads = append(z.heads[:0], lists...)
	same := allOf(len(lists))
	for at := z.next(len(lists)); at != 0; at = z.next(len(lists)) {
		e, equal := z.take(at, len(lists))
		z.out = append(z.out, e)
		same &= equal
	}
	return same
}

// next returns the lists whose heads share the least key; none at the end.
func (z *zipper[E]) next(n int) origins {
	var least *E
	var at origins
	for i := range z.heads[:n] {
		if len(z.heads[i]) == 0 {
			continue
		}
		head := &z.heads[i][0]
		c := -1
		if least != nil {
			c = z.order(head, least)
		}
		switch {
		case c < 0:
			least, at = head, 1<<i
		case c == 0:
			at |= 1 << i
		}
	}
	return at
}

// take removes the heads of the lists in at and joins them.
func (z *zipper[E]) take(at origins, n int) (E, origins) {
	if at&(at-1) == 0 {
		i := at.first()
		e := z.heads[i][0]
		z.heads[i] = z.heads[i][1:]
		return e, at
	}
	z.group = slices.Grow(z.group[:0], n)[:n]
	group := z.group
	for i := range group {
		group[i] = nil
		if at&(1<<i) != 0 {
			group[i] = &z.heads[i][0]
			z.heads[i] = z.heads[i][1:]
		}
	}
	return z.join(group)
}

// mergeOf merges a list of each of any number of parts.
func mergeOf[P, E any](z *zipper[E], parts []P, list func(P) []E) []E {
	z.in = gather(z.in, parts, list)
	in := z.in
	for len(in) > fanIn {
		groups := 0
		for chunk := range slices.Chunk(in, fanIn) {
			in[groups], _ = z.merge(chunk)
			groups++
		}
		in = in[:groups]
	}
	merged, _ := z.merge(in)
	return merged
}

// gather returns one list of each part, leaving out empty ones, in the memory
// of into.
func gather[P, E any](into [][]E, parts []P, list func(P) []E) [][]E {
	into = into[:0]
	for _, p := range parts {
		if l := list(p); len(l) > 0 {
			into = append(into, l)
		}
	}
	return into
}

// mergeField merges one list of each member of a group, at most fanIn. Members
// that are nil count as empty; their place in the answer means nothing.
func mergeField[T, E any](z *zipper[E], group []*T, list func(*T) []E) ([]E, origins) {
	z.lists = z.lists[:0]
	for _, member := range group {
		var l []E
		if member != nil {
			l = list(member)
		}
		z.lists = append(z.lists, l)
	}
	return z.merge(z.lists)
}

// soleList returns the merge of lists if at most one of them is not empty, or if
// all that are not empty are equal. Otherwise ok is false.
func soleList[E any](lists [][]E, equal func(a, b []E) bool) (sole []E, same origins, ok bool) {
	if equal == nil {
		equal = sameMemory[E]
	}
	for i, list := range lists {
		switch {
		case len(list) == 0:
			continue
		case same == 0:
			sole = list
		case !equal(sole, list):
			return nil, 0, false
		}
		same |= 1 << i
	}
	if same == 0 {
		same = allOf(len(lists))
	}
	return sole, same, true
}

// sameMemory reports whether two lists share their memory.
func sameMemory[E any](a, b []E) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// pick returns a join that takes one element of a group whole: the greatest by
// prefer, which is a total order by meaning.
func pick[E any](prefer func(a, b *E) int) func([]*E) (E, origins) {
	return func(group []*E) (E, origins) {
		var best *E
		var same origins
		for i, e := range group {
			if e == nil {
				continue
			}
			c := 1
			if best != nil {
				c = prefer(e, best)
			}
			switch {
			case c > 0:
				best, same = e, 1<<i
			case c == 0:
				same |= 1 << i
			}
		}
		return *best, same
	}
}

// A slab cuts small lists from bigger allocations. A list that is in use keeps its
// whole chunk in memory, so chunks are small: from slabMin to slabMax elements.
type slab[E any] struct {
	free []E
	size int
}

const (
	slabMin = 8
	slabMax = 64
)

// clone returns a copy of list that nothing will append to.
func (s *slab[E]) clone(list []E) []E { return append(s.room(len(list)), list...) }

// concat returns the elements of all lists, one list after the other, in a list
// that nothing will append to.
func (s *slab[E]) concat(lists [][]E) []E {
	n := 0
	for _, list := range lists {
		n += len(list)
	}
	all := s.room(n)
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

// room returns an empty list that has room for n elements and no more.
func (s *slab[E]) room(n int) []E {
	if n > slabMax/4 {
		return make([]E, 0, n)
	}
	if cap(s.free)-len(s.free) < n {
		s.size = min(max(2*s.size, slabMin), slabMax)
		s.free = make([]E, 0, max(s.size, n))
	}
	at := len(s.free)
	s.free = s.free[:at+n]
	return s.free[at : at : at+n]
}

// add returns a pointer to a copy of e.
func (s *slab[E]) add(e E) *E {
	if cap(s.free) == len(s.free) {
		s.size = min(max(2*s.size, slabMin), slabMax)
		s.free = make([]E, 0, s.size)
	}
	s.free = append(s.free, e)
	return &s.free[len(s.free)-1]
}
