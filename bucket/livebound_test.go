package bucket

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/index"
)

// lost is a blob store that keeps nothing.
type lost struct{}

func (lost) Get(_ context.Context, refs []blob.Ref) ([]blob.Result[bag], error) {
	return make([]blob.Result[bag], len(refs)), nil
}
func (lost) Encode(v bag) ([]byte, error)              { return json.Marshal(v) }
func (lost) Put(context.Context, string, []byte) error { return nil }

// TestLiveWindowsBound lets ticks end late and values come at any time: a value
// is in the live window for at least a window, and at most a window and a tick.
func TestLiveWindowsBound(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			c, err := NewCollector(index.NewMemIndex(), lost{}, mergeBags(&calls), nil)
			if err != nil {
				t.Fatal(err)
			}
			c.shared.running.Store(true) // the ticks of this test stand for Run's
			var added []time.Time
			nextSeal := time.Now().Add(c.opts.Tick)
			for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
				time.Sleep(time.Duration(random.IntN(1200)) * time.Millisecond)
				if late := time.Duration(random.IntN(2000)) * time.Millisecond; time.Since(nextSeal) >= late {
					c.seal()
					nextSeal = nextSeal.Add(c.opts.Tick)
				}
				if random.IntN(3) > 0 {
					added = append(added, time.Now())
					if err := c.Add(t.Context(), "a", bag{len(added)}, nil); err != nil {
						t.Fatal(err)
					}
				}
				live, err := c.At(t.Context(), "a", time.Now(), nil)
				if err != nil {
					t.Fatal(err)
				}
				checkBound(t, added, live.Value, c.opts.Window, c.opts.Tick)
			}
			gone, cancel := context.WithCancel(t.Context())
			cancel()
			if err := c.Flush(gone); !errors.Is(err, context.Canceled) {
				t.Errorf("a flush that was cancelled: %v", err)
			}
			if err := c.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func checkBound(t *testing.T, added []time.Time, live bag, window, tick time.Duration) {
	t.Helper()
	for i, at := range added {
		age, is := time.Since(at), slices.Contains(live, i+1)
		if age < window && !is {
			t.Fatalf("a value of %v ago is not in the live window", age)
		}
		if age > window+tick && is {
			t.Fatalf("a value of %v ago is still in the live window", age)
		}
	}
}
