package reports

import (
	"context"
	"errors"
	"sync"
	"time"
)

// patience bounds how long a question waits for the store at a time, and how long in all, not
// counting the time in which collectors are asked. A nil patience has no bound.
type patience struct {
	limit  time.Duration // at a time
	cancel context.CancelCauseFunc

	mu    sync.Mutex    // guards the fields below
	left  time.Duration // in all, when begun
	begun time.Time     // when the timer was started
	asked int           // collectors that are being asked
	timer *time.Timer   // runs while none is
}

// roundsOfPatience is how many times the limit a question waits in all. A question reads the
// index again when a collector has sealed a tick meanwhile.
const roundsOfPatience = 3

func newPatience(limit time.Duration, cancel context.CancelCauseFunc) *patience {
	return &patience{limit: limit, cancel: cancel, left: roundsOfPatience * limit}
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
	if p.asked++; p.asked == 1 && p.timer != nil {
		p.timer.Stop()
		p.left -= time.Since(p.begun)
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
	p.begun = time.Now()
	p.timer = time.AfterFunc(min(p.limit, p.left), func() { p.cancel(errStoreSlow) })
}

// stop ends the patience.
func (p *patience) stop() {
	p.pause()
	p.cancel(nil)
}
