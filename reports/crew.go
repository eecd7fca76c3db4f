package reports

import (
	"context"
	"sync"
	"time"
)

// crew does jobs in goroutines of its own, a few at a time, each within a
// limited time. The goroutines end when nothing waits.
type crew struct {
	hands   int                                          // jobs done at a time
	room    int                                          // jobs that may wait
	bounded func() (context.Context, context.CancelFunc) // the context of a job
	hurry   context.CancelFunc                           // ends the contexts of all jobs

	mu      sync.Mutex // guards what follows
	waiting []func(context.Context)
	working int
	closed  bool
	idle    chan struct{} // closed when the crew is closed and nobody works
}

func newCrew(hands, room int, limit time.Duration) *crew {
	all, hurry := context.WithCancel(context.Background())
	return &crew{hands: hands, room: room, hurry: hurry, idle: make(chan struct{}),
		bounded: func() (context.Context, context.CancelFunc) { return context.WithTimeout(all, limit) }}
}

// try takes a job, which must end soon after its context; false when too many
// wait or the crew is closed. It does not block.
func (c *crew) try(job func(context.Context)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return false
	case c.working < c.hands: // so that none waits
		c.working++
		go c.work(job)
	case len(c.waiting) < c.room:
		c.waiting = append(c.waiting, job)
	default:
		return false
	}
	return true
}

// work does a job, and others until none waits.
func (c *crew) work(job func(context.Context)) {
	for ok := true; ok; job, ok = c.next() {
		c.do(job)
	}
}

func (c *crew) do(job func(context.Context)) {
	ctx, cancel := c.bounded()
	defer cancel()
	job(ctx)
}

// next takes the job that waited longest, or ends the goroutine.
func (c *crew) next() (job func(context.Context), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		c.working--
		c.endLocked()
		return nil, false
	}
	job = c.waiting[0]
	c.waiting[0] = nil
	c.waiting = c.waiting[1:]
	return job, true
}

// endLocked closes idle when the last goroutine of a closed crew has ended.
func (c *crew) endLocked() {
	if c.closed && c.working == 0 {
		close(c.idle)
	}
}

// close takes no more jobs and returns when those it has are done. When ctx
// ends, so do their contexts. It may be called more than once.
func (c *crew) close(ctx context.Context) {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		c.endLocked()
	}
	c.mu.Unlock()
	select {
	case <-c.idle:
	case <-ctx.Done():
	}
	c.hurry()
	<-c.idle
}
