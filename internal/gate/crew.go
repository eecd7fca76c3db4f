package gate

import (
	"context"
	"time"
)

// leaving is how long Wait waits for calls after its context has ended.
const leaving = 3 * time.Second

// Crew runs calls in goroutines, a limited number at a time. It stops waiting for a call
// that does not return. NewCrew makes one.
type Crew struct{ room *Room }

// NewCrew returns a Crew that runs at most most calls at a time, and stops waiting for a
// call that takes longer than patience.
func NewCrew(most int, patience time.Duration) *Crew {
	return &Crew{NewRoom(int64(most), patience)}
}

// Call is a call under way.
type Call struct {
	begun time.Time
	done  chan struct{} // closed when it has returned
}

// Go calls f when there is room. The error is the context's.
func (c *Crew) Go(ctx context.Context, f func()) (*Call, error) {
	lease := new(Lease)
	if err := c.room.Take(ctx, 1, lease); err != nil {
		return nil, err
	}
	call := &Call{time.Now(), make(chan struct{})}
	go func() {
		defer func() { lease.End(); close(call.done) }()
		f()
	}()
	return call, nil
}

// Wait waits for calls, but for none longer than the crew's patience, and not longer
// than three seconds after ctx has ended. It returns the calls that have not returned.
func (c *Crew) Wait(ctx context.Context, calls []*Call) (left []*Call) {
	over, stop := context.WithCancel(context.Background())
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(leaving, stop) })()
	for _, call := range calls {
		late := time.NewTimer(time.Until(call.begun.Add(c.room.patience)))
		select {
		case <-call.done:
		case <-over.Done():
		case <-late.C:
		}
		late.Stop()
		if !call.HasReturned() {
			left = append(left, call)
		}
	}
	return left
}

// Hangs reports whether the call has taken longer than its crew's patience, and has not
// returned.
func (c *Crew) Hangs(call *Call) bool {
	return !call.HasReturned() && time.Since(call.begun) >= c.room.patience
}

// HasReturned reports whether the call has returned.
func (c *Call) HasReturned() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}
