package gate

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Room bounds what several calls use together. It is for calls that may never return, such
// as calls of users' functions. Each call has a lease. When others wait for room, the Room
// ends leases that are older than its patience; their calls are then stuck. A Room is safe
// for any number of goroutines.
type Room struct {
	limit    int64
	patience time.Duration
	free     *semaphore.Weighted

	mu          sync.Mutex     // guards what follows, and the fields of leases
	first, last *Lease         // leases that have not ended, the oldest first
	waiting     int            // calls that wait for room
	armed       bool           // reclaim will be called
	stuck       map[string]int // calls, by owner
}

// Lease is a call's part of a Room. The zero value is ready for one Take.
type Lease struct {
	// Owners are the names under which Stuck counts the call, each once. They must not
	// change after Take.
	Owners []string

	room       *Room // nil before Take
	size       int64
	since      time.Time
	prev, next *Lease
	isStuck    bool
}

// NewRoom returns a Room of a size.
func NewRoom(limit int64, patience time.Duration) *Room {
	return &Room{limit: limit, patience: patience, free: semaphore.NewWeighted(limit)}
}

// Take waits until there is room for size, or until the whole room is free if size is
// larger. The error is the context's. After a Take without an error the caller must call
// End.
func (r *Room) Take(ctx context.Context, size int64, l *Lease) error {
	size = min(max(size, 1), r.limit)
	if !r.free.TryAcquire(size) {
		r.wait(1)
		defer r.wait(-1)
		if err := r.free.Acquire(ctx, size); err != nil {
			return err
		}
	}
	r.begin(l, size)
	return nil
}

func (r *Room) begin(l *Lease, size int64) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	l.room, l.size, l.since, l.prev = r, size, now, r.last
	if r.last == nil {
		r.first = l
	} else {
		r.last.next = l
	}
	r.last = l
}

// End gives back what the call took.
func (l *Lease) End() { l.room.end(l) }

func (r *Room) end(l *Lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.isStuck {
		for _, owner := range l.Owners {
			if r.stuck[owner]--; r.stuck[owner] == 0 {
				delete(r.stuck, owner)
			}
		}
		return
	}
	r.remove(l)
}

// remove ends a lease. The caller holds mu.
func (r *Room) remove(l *Lease) {
	if l.prev == nil {
		r.first = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		r.last = l.prev
	} else {
		l.next.prev = l.prev
	}
	l.prev, l.next = nil, nil
	r.free.Release(l.size)
}

// wait notes that a call starts or stops waiting for room.
func (r *Room) wait(more int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting += more
	r.arm()
}

// arm schedules reclaim for the time when the oldest lease reaches the room's patience, if
// a call waits. The caller holds mu.
func (r *Room) arm() {
	if r.waiting == 0 || r.armed {
		return
	}
	due := r.patience
	if r.first != nil {
		due = max(time.Until(r.first.since.Add(r.patience)), r.patience/64)
	}
	r.armed = true
	time.AfterFunc(due, r.reclaim)
}

// reclaim ends the leases of calls that are stuck.
func (r *Room) reclaim() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.armed = false
	for r.waiting > 0 && r.first != nil && time.Since(r.first.since) >= r.patience {
		l := r.first
		r.remove(l)
		l.isStuck = true
		if r.stuck == nil {
			r.stuck = make(map[string]int)
		}
		for _, owner := range l.Owners {
			r.stuck[owner]++
		}
	}
	r.arm()
}

// Stuck returns how many calls of an owner are stuck.
func (r *Room) Stuck(owner string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stuck[owner]
}
