package window

// FewTicks is how many ticks are kept apart. To merge eight at once, at most
// once a tick, costs less than to keep the merge ready, which takes five merges
// a tick whether somebody asks or not.
const FewTicks = 8

// sliding is a queue of ticks with their merge. While the ticks are few, a push
// and a pop cost nothing, and the caller merges the parts. When there are more,
// the queue goes over to a method in which a push and a pop cost a constant
// number of merges in the worst case, whatever the length and although a
// merge has no inverse. The queue goes back when it is empty.
//
// The method is DABA Lite: Tangwongsan, Hirzel and Schneider, "In-order
// sliding-window aggregation in worst-case constant time", The VLDB Journal
// 30 (2021). Six positions, front ≤ left ≤ right ≤ accum ≤ back ≤ end, cut the
// queue into parts that hold
//
//	[front, left)   the merge of the tick up to back
//	[left, right)   the merge of the tick up to right
//	[right, accum)  the tick alone
//	[accum, back)   the merge of the tick up to back
//	[back, end)     the tick alone
//
// The tick at front thus holds the merge up to back, and tail holds the merge
// of the rest. Each push and pop moves left and accum one step on. When left
// has reached back, both halves have equal length and the parts are cut
// again.
type sliding[T any] struct {
	merge                                Merge[T]
	cells                                []cell[T] // a ring: position p is at p modulo the length
	ends                                 []int64   // likewise: when the ticks ended, ascending, Unix nanoseconds
	front, left, right, accum, back, end int

	few    bool    // each tick is alone in its cell; of the positions only front and end count
	sum    cell[T] // while few: the merge of all ticks, when summed
	summed bool

	middle cell[T] // the merge of [right, back)
	tail   cell[T] // the merge of [back, end)
}

func newSliding[T any](merge Merge[T]) *sliding[T] {
	return &sliding[T]{merge: merge, few: true, cells: make([]cell[T], FewTicks), ends: make([]int64, FewTicks)}
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
	if s.few && s.len() == FewTicks {
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

// remove drops the ticks that gone reports from a queue of few.
func (s *sliding[T]) remove(gone func(T) bool) (removed bool) {
	left := newSliding(s.merge)
	for p := s.front; p < s.end; p++ {
		if c := *s.at(p); !gone(c.value) {
			left.push(c, s.ended(p))
		}
	}
	if removed = left.len() < s.len(); removed {
		*s = *left
	}
	return removed
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

// parts returns values whose merge is the merge of the queue.
func (s *sliding[T]) parts() (parts []T, err error) {
	switch {
	case s.few && s.summed:
		return s.sum.appendTo(nil)
	case !s.few:
		if s.front != s.back {
			if parts, err = s.at(s.front).appendTo(nil); err != nil {
				return nil, err
			}
		}
		return s.tail.appendTo(parts)
	}
	for p := s.front; p < s.end; p++ {
		if parts, err = s.at(p).appendTo(parts); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// keep notes the merge of all ticks while they are few.
func (s *sliding[T]) keep(sum T) {
	if s.few {
		s.sum, s.summed = cell[T]{value: sum, full: s.len() > 0}, true
	}
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
