package bucket

// fewTicks is how many ticks are merged only when they are asked for: to merge
// eight at once, once a tick at the most, costs less than to keep the merge
// ready, which is five merges a tick whether it is asked for or not.
const fewTicks = 8

// sliding keeps a queue of ticks and their merge. While they are few, pushing a
// tick or dropping the oldest costs nothing, and the merge of all of them, once
// after each change, one merge of so many parts. When they become more, which
// costs a merge for each, it goes over to a way in which both cost a constant
// number of merges in the worst case, whatever the length and although a merge
// has no inverse, and goes back when the queue is empty.
//
// That way is DABA Lite: Tangwongsan, Hirzel and Schneider, "In-order
// sliding-window aggregation in worst-case constant time", The VLDB Journal
// 30 (2021). The queue is cut by six positions, front ≤ left ≤ right ≤
// accum ≤ back ≤ end, into parts that hold
//
//	[front, left)   the merge of the tick up to back
//	[left, right)   the merge of the tick up to right
//	[right, accum)  the tick alone
//	[accum, back)   the merge of the tick up to back
//	[back, end)     the tick alone
//
// so that the tick at front always holds the merge up to back, and tail that
// of the rest. Each push and pop moves left and accum one step on; when left
// has reached back, both halves are of equal length and the parts are cut
// anew.
type sliding[T any] struct {
	merge                                Merge[T]
	cells                                []cell[T] // a ring: position p is at p modulo the length
	ends                                 []int64   // likewise: when the ticks ended, ascending, Unix nanoseconds
	front, left, right, accum, back, end int

	few    bool    // each tick is alone in its cell, and front and end alone of the positions count
	sum    cell[T] // while few: the merge of all, if it is known
	summed bool

	middle cell[T] // the merge of [right, back)
	tail   cell[T] // the merge of [back, end)
}

// cell is the merge of some ticks, or why they cannot be merged. Empty, it is
// the merge of none.
type cell[T any] struct {
	value T
	full  bool
	err   error
}

// parts returns the cell's value, or nothing when it is empty.
func (c cell[T]) parts() []T {
	if !c.full {
		return nil
	}
	return []T{c.value}
}

func newSliding[T any](merge Merge[T]) *sliding[T] {
	return &sliding[T]{merge: merge, few: true, cells: make([]cell[T], fewTicks), ends: make([]int64, fewTicks)}
}

func (s *sliding[T]) len() int { return s.end - s.front }

func (s *sliding[T]) at(position int) *cell[T] { return &s.cells[position%len(s.cells)] }

// ended returns when the tick at a position ended.
func (s *sliding[T]) ended(position int) int64 { return s.ends[position%len(s.ends)] }

// last returns when the newest tick ended. The queue must not be empty.
func (s *sliding[T]) last() int64 { return s.ended(s.end - 1) }

// push adds the newest tick, which ended at the instant end, and costs at most
// three merges, and as many more as they were few when it makes them many.
func (s *sliding[T]) push(c cell[T], end int64) {
	if s.few && s.len() == fewTicks {
		s.goOver()
	}
	if s.len() == len(s.cells) {
		s.grow()
	}
	*s.at(s.end) = c
	s.ends[s.end%len(s.ends)] = end
	s.end++
	if s.few {
		s.sum, s.summed = cell[T]{}, false
		return
	}
	s.tail = join(s.merge, s.tail, c)
	s.step()
}

// pop drops the oldest tick and costs at most two merges. The queue must not
// be empty.
func (s *sliding[T]) pop() {
	*s.at(s.front) = cell[T]{}
	s.front++
	if s.few {
		s.sum, s.summed = cell[T]{}, false
		return
	}
	s.step()
	s.few = s.len() == 0
}

// goOver makes a queue of many ticks of one of few: each tick becomes the
// merge of it and those after it.
func (s *sliding[T]) goOver() {
	for p := s.end - 2; p >= s.front; p-- {
		*s.at(p) = join(s.merge, *s.at(p), *s.at(p + 1))
	}
	s.left, s.right, s.accum, s.back = s.front+1, s.front+1, s.front+1, s.end
	s.few, s.sum, s.summed = false, cell[T]{}, false
	s.middle, s.tail = cell[T]{}, cell[T]{}
}

// grow doubles the ring.
func (s *sliding[T]) grow() {
	cells, ends := make([]cell[T], 2*len(s.cells)), make([]int64, 2*len(s.cells))
	for p := s.front; p < s.end; p++ {
		cells[p%len(cells)], ends[p%len(ends)] = *s.at(p), s.ended(p)
	}
	s.cells, s.ends = cells, ends
}

// halves returns two parts whose merge is the merge of the queue.
func (s *sliding[T]) halves() (front, tail cell[T]) {
	if s.few {
		return s.all(), cell[T]{}
	}
	if s.front != s.back {
		front = *s.at(s.front)
	}
	return front, s.tail
}

// all returns the merge of few ticks.
func (s *sliding[T]) all() cell[T] {
	if s.summed {
		return s.sum
	}
	parts := make([]cell[T], 0, fewTicks)
	for p := s.front; p < s.end; p++ {
		parts = append(parts, *s.at(p))
	}
	s.sum = joinAll(s.merge, parts)
	s.summed = s.sum.err == nil // which may pass
	return s.sum
}

// step restores the invariant after one push or pop.
func (s *sliding[T]) step() {
	if s.front == s.back { // at most one tick is left, and it holds its own merge
		s.left, s.right, s.accum, s.back = s.end, s.end, s.end, s.end
		s.middle, s.tail = cell[T]{}, cell[T]{}
		return
	}
	if s.left == s.back {
		s.left, s.accum, s.back = s.front, s.end, s.end
		s.middle, s.tail = s.tail, cell[T]{}
	}
	if s.left == s.right {
		s.left, s.right, s.accum = s.left+1, s.right+1, s.accum+1
		return
	}
	*s.at(s.left) = join(s.merge, *s.at(s.left), s.middle)
	s.left++
	s.accum--
	if s.accum+1 != s.back {
		*s.at(s.accum) = join(s.merge, *s.at(s.accum), *s.at(s.accum + 1))
	}
}

// join merges two cells. A cell that cannot be merged spoils those that it is
// part of until it leaves the queue.
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

// joinAll merges any number of cells at once.
func joinAll[T any](merge Merge[T], cells []cell[T]) cell[T] {
	parts := make([]T, 0, len(cells))
	for _, c := range cells {
		if c.err != nil {
			return c
		}
		if c.full {
			parts = append(parts, c.value)
		}
	}
	v, err := mergeParts(merge, parts)
	if err != nil {
		return cell[T]{err: err}
	}
	return cell[T]{value: v, full: len(parts) > 0}
}
