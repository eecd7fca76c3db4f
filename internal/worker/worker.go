// Package worker runs jobs in the background: a few at a time, a bounded
// number waiting, each within a limited time.
package worker

import (
	"context"
	"sync"
	"time"
)

// Pool runs jobs in its own goroutines. The goroutines end when no job waits,
// so that an idle pool holds none. It is safe for concurrent use.
type Pool struct {
	workers   int                                          // jobs that run at a time
	queue     int                                          // jobs that may wait
	bounded   func() (context.Context, context.CancelFunc) // makes the context of one job
	cancelAll context.CancelFunc                           // cancels the contexts of all jobs

	mu      sync.Mutex // guards what follows
	waiting []func(context.Context)
	working int
	closed  bool
	idle    chan struct{} // closed when the pool is closed and no job runs
}

// New returns a pool that runs up to workers jobs at a time and lets up to
// queue more jobs wait. The context of each job ends after limit. Close the
// pool to release it.
func New(workers, queue int, limit time.Duration) *Pool {
	all, cancelAll := context.WithCancel(context.Background())
	return &Pool{workers: workers, queue: queue, cancelAll: cancelAll, idle: make(chan struct{}),
		bounded: func() (context.Context, context.CancelFunc) { return context.WithTimeout(all, limit) }}
}

// Try accepts a job, which must return soon after its context ends. It returns
// false when too many jobs wait or the pool is closed. It does not block.
func (p *Pool) Try(job func(context.Context)) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return false
	case p.working < p.workers: // a free worker means that no job waits
		p.working++
		go p.work(job)
	case len(p.waiting) < p.queue:
		p.waiting = append(p.waiting, job)
	default:
		return false
	}
	return true
}

// work runs a job, then the waiting ones, until none waits.
func (p *Pool) work(job func(context.Context)) {
	for ok := true; ok; job, ok = p.next() {
		p.run(job)
	}
}

func (p *Pool) run(job func(context.Context)) {
	ctx, cancel := p.bounded()
	defer cancel()
	job(ctx)
}

// next returns the job that has waited longest. It returns false, and counts
// the calling worker as ended, when no job waits.
func (p *Pool) next() (job func(context.Context), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		p.working--
		p.endLocked()
		return nil, false
	}
	job = p.waiting[0]
	p.waiting[0] = nil
	p.waiting = p.waiting[1:]
	return job, true
}

// endLocked closes idle when the pool is closed and its last worker has ended.
// The mutex is held.
func (p *Pool) endLocked() {
	if p.closed && p.working == 0 {
		close(p.idle)
	}
}

// Close makes the pool refuse further jobs and waits until the accepted ones
// have returned. When ctx ends first, Close cancels their contexts and goes on
// waiting. It may be called more than once.
func (p *Pool) Close(ctx context.Context) {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		p.endLocked()
	}
	p.mu.Unlock()
	select {
	case <-p.idle:
	case <-ctx.Done():
	}
	p.cancelAll()
	<-p.idle
}
