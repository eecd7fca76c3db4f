// Package outbox holds values until they are delivered, and repeats attempts
// that fail.
//
// Values come from senders. A sender whose last attempt was slow to fail is
// slow: it sends one value at a time, through workers that only slow senders
// use, and its other values wait until that one gets through. Senders whose
// attempts hang, however many, thus soon leave the other workers free.
//
// A sender has one attempt under way at a time. While its attempts succeed and
// more of its values wait, it may have one more with each success, up to half of
// the workers. So a sender that begins to hang holds one worker, and a sender
// with many values leaves workers to the others.
package outbox

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"time"
)

// Options say how values are tried. Every field must be set.
type Options struct {
	// Workers is how many values are tried at a time, and as many more of slow
	// senders. While attempts succeed there is also a worker for every eight
	// values that wait, up to MaxWorkers.
	Workers, MaxWorkers int
	// Backoff is the wait after a value's first failed attempt. It doubles
	// with each further one up to MaxBackoff.
	Backoff, MaxBackoff time.Duration
	// Slow is the duration from which on an attempt that fails makes its sender
	// a slow one.
	Slow time.Duration
	// Stuck is how long an attempt may take before its worker tries other values.
	// An attempt may take for ever, since it calls functions of the user.
	Stuck time.Duration
}

// backlogPerWorker is how many waiting values add a worker.
const backlogPerWorker = 8

// Outbox holds values of type V. It is safe for any number of goroutines.
type Outbox[V any] struct {
	opts  Options
	begun time.Time // its clock began

	mu      sync.Mutex // guards what follows and the fields of senders and items
	queues  [classes]queue[V]
	all     map[*item[V]]struct{} // the items being tried as well
	parked  int                   // values that senders hold back
	failing bool                  // the last attempt failed
	changed chan struct{}         // closed and replaced when take may return something else
}

// class says which workers try a value.
type class int

const (
	healthy class = iota
	slow
	classes
)

type queue[V any] struct {
	waiting dueHeap[V]
	running int // attempts under way
}

// Sender is where values come from. The zero value is ready. A Sender must not
// be copied, and belongs to one Outbox.
type Sender[V any] struct {
	slow    bool
	probe   *item[V]   // the one value that a slow sender sends
	parked  []*item[V] // the values that wait for the probe, or for an attempt to end
	running int        // attempts under way
	more    int        // attempts at a time that it may make, beside the first
}

// item is a value on its way.
type item[V any] struct {
	value  V
	sender *Sender[V]
	since  time.Duration // when it was put, on the outbox's clock
	due    time.Duration // when to try it next
	tries  int           // attempts that failed in a row
	told   bool          // the last attempt told it to wait
	trying *attempt      // the attempt under way; nil when there is none
}

// attempt is one attempt under way. The outbox's mu guards it.
type attempt struct {
	from  class
	freed bool // its worker tries other values
}

// New returns an empty outbox.
func New[V any](opts Options) *Outbox[V] {
	return &Outbox[V]{opts: opts, begun: time.Now(), all: make(map[*item[V]]struct{}), changed: make(chan struct{})}
}

// now is the time on the outbox's clock. It takes 8 bytes, where a time.Time takes 24.
func (o *Outbox[V]) now() time.Duration { return time.Since(o.begun) }

// Put adds a value of a sender, to be tried at once. It does not wait for any
// attempt.
func (o *Outbox[V]) Put(s *Sender[V], v V) {
	now := o.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	it := &item[V]{value: v, sender: s, since: now, due: now}
	o.all[it] = struct{}{}
	o.route(it)
	o.signal()
}

// Hurry makes every value that waits for its next attempt due now.
func (o *Outbox[V]) Hurry() {
	now := o.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	for c := range o.queues {
		waiting := &o.queues[c].waiting
		for _, it := range *waiting {
			if it.due > now {
				it.due = now
			}
		}
		heap.Init(waiting)
	}
	o.signal()
}

// Recheck has each call of Work ask enough again.
func (o *Outbox[V]) Recheck() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.signal()
}

// Values returns all values that are not delivered, in no order.
func (o *Outbox[V]) Values() []V {
	o.mu.Lock()
	defer o.mu.Unlock()
	values := make([]V, 0, len(o.all))
	for it := range o.all {
		values = append(values, it.value)
	}
	return values
}

// tries returns the attempts at some values that are under way, by item.
func (o *Outbox[V]) tries(some func(V) bool) map[*item[V]]*attempt {
	o.mu.Lock()
	defer o.mu.Unlock()
	trying := make(map[*item[V]]*attempt)
	for it := range o.all {
		if it.trying != nil && some(it.value) {
			trying[it] = it.trying
		}
	}
	return trying
}

// goesOn returns a channel that is closed when one of some attempts may have ended or taken
// Stuck. It returns nil when all of them have.
func (o *Outbox[V]) goesOn(trying map[*item[V]]*attempt) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	for it, a := range trying {
		if it.trying == a && !a.freed {
			return o.changed
		}
	}
	return nil
}

// Oldest returns how long the value that has waited longest has waited; 0 when
// there is none. Values that were last told to wait do not count: see WaitError.
func (o *Outbox[V]) Oldest() (age time.Duration) {
	now := o.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	for it := range o.all {
		if !it.told {
			age = max(age, now-it.since)
		}
	}
	return age
}

// route puts an item into the queue that it belongs to. The caller holds mu.
func (o *Outbox[V]) route(it *item[V]) {
	s := it.sender
	switch {
	case !s.slow:
		heap.Push(&o.queues[healthy].waiting, it)
		o.unpark(it)
	case s.probe == nil || s.probe == it:
		s.probe = it
		heap.Push(&o.queues[slow].waiting, it)
	default:
		o.park(it)
	}
}

// park lets an item wait until its sender's probe gets through, or one of its
// sender's attempts ends. The caller holds mu.
func (o *Outbox[V]) park(it *item[V]) {
	it.sender.parked = append(it.sender.parked, it)
	o.parked++
}

// unpark queues parked items of a sender that is not slow, as many as it may try
// beside its attempts under way. it is no probe any more. The caller holds mu.
func (o *Outbox[V]) unpark(it *item[V]) {
	s := it.sender
	if s.probe == it {
		s.probe = nil
	}
	n := min(len(s.parked), max(0, o.share(s)-s.running))
	for i, parked := range s.parked[:n] {
		heap.Push(&o.queues[healthy].waiting, parked)
		s.parked[i] = nil
	}
	s.parked = s.parked[n:]
	o.parked -= n
}

// share returns how many attempts a sender that is not slow may have under way.
// The caller holds mu.
func (o *Outbox[V]) share(s *Sender[V]) int { return max(1, min(1+s.more, o.workers(healthy)/2)) }

// take returns the item of a class that has been due longest, which nobody else
// gets until it is put back or removed. When there is none to be tried, or no
// worker, it returns nil, how long to wait for one, negative for an unknown
// time, and a channel that is closed when that may have changed.
func (o *Outbox[V]) take(from class, now time.Duration) (it *item[V], wait time.Duration, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := &o.queues[from]
	for len(q.waiting) > 0 && q.running < o.workers(from) {
		if wait := q.waiting[0].due - now; wait > 0 {
			return nil, wait, o.changed
		}
		it := heap.Pop(&q.waiting).(*item[V])
		s := it.sender
		switch {
		case from == healthy && s.slow: // since the item was put
			o.route(it)
			o.signal()
		case from == healthy && s.running >= o.share(s):
			o.park(it)
		default:
			q.running++
			s.running++
			it.trying, it.told = &attempt{from: from}, false
			return it, 0, nil
		}
	}
	return nil, -1, o.changed
}

// workers returns how many items of a class may be tried at a time. The caller
// holds mu.
func (o *Outbox[V]) workers(from class) int {
	if from == slow || o.failing {
		return o.opts.Workers
	}
	return max(o.opts.Workers, min(o.opts.MaxWorkers, (len(o.queues[from].waiting)+o.parked)/backlogPerWorker))
}

// delivered forgets an item that was taken and delivered. Items that were
// parked behind it are due at once: their sender's values get through again.
func (o *Outbox[V]) delivered(it *item[V]) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := it.sender
	o.end(it)
	delete(o.all, it)
	o.succeed(s)
	if s.more++; len(s.parked) == 0 {
		s.more = 0
	}
	o.unpark(it)
	if len(o.all) == 0 { // gives back the memory that many items took
		o.all = make(map[*item[V]]struct{})
		for c := range o.queues {
			o.queues[c].waiting = nil
		}
	}
	o.signal()
}

// succeed notes that the store answers a sender: its parked items are due at once if it was
// slow. The caller holds mu.
func (o *Outbox[V]) succeed(s *Sender[V]) {
	o.failing = false
	if s.slow {
		s.slow = false
		for _, parked := range s.parked {
			parked.due = 0
		}
	}
}

// postpone returns an item that was taken and must wait, although nothing failed.
func (o *Outbox[V]) postpone(it *item[V], wait time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.end(it)
	it.due, it.told = o.now()+max(wait, o.opts.Backoff), true
	o.succeed(it.sender)
	o.route(it)
	o.signal()
}

// putBack returns an item that was taken and not delivered. A failure of the
// attempt, as opposed to its interruption, makes the item wait.
func (o *Outbox[V]) putBack(it *item[V], failed bool, took time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.end(it)
	if failed {
		it.sender.more = 0
		it.due = o.now() + o.backoff(it.tries)
		it.tries++
		it.sender.slow = took >= o.opts.Slow
		o.failing = true
	}
	o.route(it)
	o.signal()
}

// end notes that an item's attempt has ended. The caller holds mu.
func (o *Outbox[V]) end(it *item[V]) {
	if !it.trying.freed {
		o.queues[it.trying.from].running--
		it.sender.running--
	}
	it.trying = nil
}

// free gives the worker of an attempt that has taken Stuck to other values. Its
// sender becomes a slow one, and another value of it is tried. An attempt that has
// ended is not freed.
func (o *Outbox[V]) free(it *item[V], a *attempt) (freed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if it.trying != a {
		return false
	}
	s := it.sender
	o.queues[a.from].running--
	s.running--
	a.freed, s.slow, s.more = true, true, 0
	if s.probe == it {
		s.probe = nil
	}
	if s.probe == nil && len(s.parked) > 0 {
		next := s.parked[0]
		s.parked = s.parked[1:]
		o.parked--
		o.route(next)
	}
	o.signal()
	return true
}

// backoff returns how long to wait after the given number of earlier failures:
// at least half of the full wait, the rest at random.
func (o *Outbox[V]) backoff(tries int) time.Duration {
	wait := o.opts.MaxBackoff
	if tries < 32 {
		if d := o.opts.Backoff << tries; d > 0 {
			wait = min(d, wait)
		}
	}
	return wait/2 + rand.N(wait/2+1)
}

// signal wakes everyone who waits for a change. The caller holds mu.
func (o *Outbox[V]) signal() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// dueHeap is a container/heap of items, the one due first on top.
type dueHeap[V any] []*item[V]

func (h dueHeap[V]) Len() int           { return len(h) }
func (h dueHeap[V]) Less(i, j int) bool { return h[i].due < h[j].due }
func (h dueHeap[V]) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap[V]) Push(x any)        { *h = append(*h, x.(*item[V])) }

func (h *dueHeap[V]) Pop() any {
	last := len(*h) - 1
	it := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return it
}
