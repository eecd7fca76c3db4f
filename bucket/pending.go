package bucket

import (
	"container/heap"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/timeblob/timeblob/index"
)

// stage is how far a pending value has come on its way into the index.
type stage int

const (
	sealed  stage = iota // its tick has ended
	encoded              // it has a blob
	stored               // the blob is under its key, where nobody else's can be
	indexed              // it is discoverable
)

// pending is a sealed value until it is discoverable. One goroutine at a time
// moves it on: the one that took it from the outbox and holds its turn.
type pending[T any] struct {
	owner *tenant[T]
	value *parcel[T]
	size  int64         // bytes of memory, as counted against the limit; changed by whoever has the turn, with mu held
	done  chan struct{} // closed when it is indexed
	turn  chan struct{} // full while it is being moved on

	due    time.Time // when to try next; of the outbox
	tries  int       // attempts that failed in a row; of whoever has the turn
	unsure bool      // a commit at the present instant may have landed; likewise

	mu    sync.Mutex // guards what follows, which readers look at
	stage stage
	row   index.Row
	entry index.Entry
	blob  []byte
	err   error // of the last attempt
}

// name gives the value the instant t, and the row and key that follow from it.
func (p *pending[T]) name(t int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.row = index.RowAt(p.owner.id, t)
	p.entry.Time, p.entry.Key = t, p.row.BlobKey(t)
	p.stage = min(p.stage, encoded)
	p.unsure = false
}

// move gives the value another instant, up to a microsecond later: random, so
// that two writers do not meet again and again. Whoever asks what is held sees
// the new instant together with a new version.
func (p *pending[T]) move() {
	t := p.owner
	t.mu.Lock()
	defer t.mu.Unlock()
	t.version = t.changes.Add(1)
	p.name(p.entry.Time + 1 + rand.Int64N(int64(time.Microsecond)))
}

// reach notes that the value has come to a stage.
func (p *pending[T]) reach(s stage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stage = s
}

// own reports whether an entry that names this value's instant and key is its
// own and not another writer's. The caller has the turn.
func (p *pending[T]) own() bool { return p.stage >= stored || p.unsure }

// state returns where the value has come to.
func (p *pending[T]) state() (stage, index.Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stage, p.entry
}

// weight returns the bytes of memory that the value takes.
func (p *pending[T]) weight() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

// note keeps the error of an attempt. One that the store is to blame for is
// not replaced by one that it is not; that somebody gave up is the least.
func (p *pending[T]) note(err error, blame bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if blame || p.err == nil || errors.Is(p.err, context.Canceled) {
		p.err = err
	}
}

func (p *pending[T]) delivered() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// lane is one of the two ways out of the outbox, each with its own limit. A
// tenant whose last attempt was slow to fail sends one value at a time through
// the doubtful one, so that those that hang, however many, soon leave the
// other one free; its other values are parked until one gets through.
type lane int

const (
	sound lane = iota
	doubtful
	lanes
)

// outbox holds the pending values and says which one to try next.
type outbox[T any] struct {
	mu      sync.Mutex
	idle    [lanes]dueHeap[T]
	all     map[*pending[T]]struct{} // those being tried too
	changed chan struct{}            // closed, and made anew, when a value comes or goes or is due earlier
}

func newOutbox[T any]() *outbox[T] {
	return &outbox[T]{all: make(map[*pending[T]]struct{}), changed: make(chan struct{})}
}

// put adds a value, or gives back one that was taken, due at its time.
func (o *outbox[T]) put(p *pending[T]) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all[p] = struct{}{}
	o.route(p)
	o.signal()
}

// route gives a value its place. The caller holds mu.
func (o *outbox[T]) route(p *pending[T]) {
	t := p.owner
	switch {
	case !t.failing.Load():
		heap.Push(&o.idle[sound], p)
		o.clear(p)
	case t.probe == nil || t.probe == p:
		t.probe = p
		heap.Push(&o.idle[doubtful], p)
	default:
		t.parked = append(t.parked, p)
	}
}

// clear lets go the values that were parked behind p or behind none. The
// caller holds mu.
func (o *outbox[T]) clear(p *pending[T]) {
	t := p.owner
	if t.probe == p {
		t.probe = nil
	}
	for _, parked := range t.parked {
		heap.Push(&o.idle[sound], parked)
	}
	t.parked = nil
}

// take returns the value of a lane that has been due longest, which nobody
// else gets until it is put back. When none is due it returns nil and how long
// to wait for one, negative when none will be, and a channel that is closed
// when that may have changed.
func (o *outbox[T]) take(from lane, now time.Time) (p *pending[T], wait time.Duration, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	idle := &o.idle[from]
	for len(*idle) > 0 {
		if wait := (*idle)[0].due.Sub(now); wait > 0 {
			return nil, wait, o.changed
		}
		p := heap.Pop(idle).(*pending[T])
		if from == doubtful || !p.owner.failing.Load() {
			return p, 0, nil
		}
		o.route(p) // its tenant has failed since it was put
		o.signal()
	}
	return nil, -1, o.changed
}

// remove forgets a value that was taken and delivered. Those that were parked
// behind it are due at once: the store takes their tenant's values again.
func (o *outbox[T]) remove(p *pending[T]) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.all, p)
	for _, parked := range p.owner.parked {
		parked.due = time.Time{}
	}
	o.clear(p)
	if len(o.all) == 0 { // gives back the room that many took
		o.all, o.idle = make(map[*pending[T]]struct{}), [lanes]dueHeap[T]{}
	}
	o.signal()
}

// hurry makes every value that waits for its next attempt due now.
func (o *outbox[T]) hurry(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for l := range o.idle {
		for _, p := range o.idle[l] {
			if p.due.After(now) {
				p.due = now
			}
		}
		heap.Init(&o.idle[l])
	}
	o.signal()
}

// values returns all pending values.
func (o *outbox[T]) values() []*pending[T] {
	o.mu.Lock()
	defer o.mu.Unlock()
	values := make([]*pending[T], 0, len(o.all))
	for p := range o.all {
		values = append(values, p)
	}
	return values
}

func (o *outbox[T]) signal() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// dueHeap is a container/heap of values, the one due first on top.
type dueHeap[T any] []*pending[T]

func (h dueHeap[T]) Len() int           { return len(h) }
func (h dueHeap[T]) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap[T]) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap[T]) Push(x any)        { *h = append(*h, x.(*pending[T])) }

func (h *dueHeap[T]) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return p
}
