package window

// Merge makes one value of two or more.
type Merge[T any] func(parts []T) (T, error)

// cell is the merge of some ticks, or the reason why they cannot be merged.
// The zero cell is the merge of no tick.
type cell[T any] struct {
	value T
	full  bool
	err   error
}

// join merges two cells. A cell that cannot be merged spoils every merge that
// it is part of, until its tick leaves the queue.
func join[T any](merge Merge[T], a, b cell[T]) cell[T] {
	switch {
	case a.err != nil || !b.full && b.err == nil:
		return a
	case b.err != nil || !a.full:
		return b
	}
	v, err := merge([]T{a.value, b.value})
	if err != nil {
		return cell[T]{err: err}
	}
	return cell[T]{value: v, full: true}
}

// appendTo adds the cell's value to parts, if it has one.
func (c cell[T]) appendTo(parts []T) ([]T, error) {
	if c.err != nil || !c.full {
		return parts, c.err
	}
	return append(parts, c.value), nil
}
