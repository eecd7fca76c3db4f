package reports

import (
	"context"
	"errors"
	"sync"
	"time"
)

// patience bounds how long a question waits for the store, not counting the time
// in which collectors are asked. A nil patience has no bound.
type patience struct {
	limit  time.Duration
	cancel context.CancelCauseFunc

	mu    sync.Mutex  // guards the fields below
	asked int         // collectors that are being asked
	timer *time.Timer // runs while none is
}

// errStoreSlow cancels a question whose patience with the store ended.
var errStoreSlow = errors.New("the store did not answer in time")

// pause stops the time until resume is called as often.
func (p *patience) pause() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked++; p.timer != nil {
		p.timer.Stop()
	}
}

func (p *patience) resume() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked--; p.asked == 0 {
		p.startLocked()
	}
}

// start starts the time.
func (p *patience) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.startLocked()
}

// startLocked starts the time again. The mutex is held.
func (p *patience) startLocked() {
	p.timer = time.AfterFunc(p.limit, func() { p.cancel(errStoreSlow) })
}

// stop ends the patience.
func (p *patience) stop() {
	p.pause()
	p.cancel(nil)
}
