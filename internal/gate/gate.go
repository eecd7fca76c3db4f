// Package gate waits for calls: for those under way (Gate), for room that calls use which
// may never return (Room, Crew), and for mutexes with a context (Latch, Turn).
package gate

import "sync"

// Gate counts the calls that are under way. The zero value is open. It is safe
// for concurrent use.
type Gate struct {
	mu      sync.Mutex // guards the fields below
	closed  bool
	running int
	idle    chan struct{} // nil while the gate is open; closed when it is closed and no call runs
}

// Enter admits a call. It returns false when the gate is closed. A call that
// was admitted must call Leave once, when it ends.
func (g *Gate) Enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.running++
	return true
}

// Leave ends a call that Enter admitted.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	g.endLocked()
}

// endLocked closes idle when no call runs and none can begin. The mutex is
// held.
func (g *Gate) endLocked() {
	if g.closed && g.running == 0 {
		close(g.idle)
	}
}

// Close makes Enter refuse further calls. It returns a channel that is closed
// when the last admitted call has ended. It may be called more than once, and
// then returns the same channel.
func (g *Gate) Close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed, g.idle = true, make(chan struct{})
		g.endLocked()
	}
	return g.idle
}
