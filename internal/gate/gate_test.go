package gate

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestGate checks that a closed gate admits nothing, and its channel is closed when
// the last admitted call has ended, not before.
func TestGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g Gate
		var ended atomic.Int64
		for i := range 5 {
			if !g.Enter() {
				t.Fatal("an open gate refused a call")
			}
			go func() {
				time.Sleep(time.Duration(i) * time.Second)
				ended.Add(1)
				g.Leave()
			}()
		}
		idle := g.Close()
		if g.Enter() {
			t.Error("a closed gate admitted a call")
		}
		if again := g.Close(); again != idle {
			t.Error("a second Close returned another channel")
		}
		<-idle
		if n := ended.Load(); n != 5 {
			t.Errorf("idle after %d of 5 calls", n)
		}
	})
}

// TestIdleGate checks that a gate without calls is idle as soon as it is closed.
func TestIdleGate(t *testing.T) {
	t.Parallel()
	var g Gate
	select {
	case <-g.Close():
	default:
		t.Error("not idle")
	}
}
