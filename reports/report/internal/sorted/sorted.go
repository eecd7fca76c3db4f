// Package sorted keeps lists in order that stand for maps and sets.
package sorted

import (
	"sort"
	"strings"
)

// Unique returns the list in ascending order, with only the last of equal
// elements. It sorts in place, and costs one pass when the list is in order
// already.
func Unique[E any](list []E, order func(a, b *E) int) []E {
	if Is(list, order) {
		return list
	}
	if len(list) <= fewElements {
		insert(list, order)
	} else {
		sort.Stable(&sorter[E]{list, order})
	}
	if Is(list, order) {
		return list
	}
	return lastOfEach(list, order)
}

// fewElements is how many elements are sorted by inserting one after the other:
// most lists of a node are that short, and it allocates nothing.
const fewElements = 12

// insert sorts a short list. Equal elements keep their order.
func insert[E any](list []E, order func(a, b *E) int) {
	for i := 1; i < len(list); i++ {
		for j := i; j > 0 && order(&list[j], &list[j-1]) < 0; j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
}

// Is reports whether the list is in ascending order and holds no two equal
// elements.
func Is[E any](list []E, order func(a, b *E) int) bool {
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

// Strings orders strings.
func Strings(a, b *string) int { return strings.Compare(*a, *b) }

// Equal is slices.Equal of texts. It takes less time.
func Equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
