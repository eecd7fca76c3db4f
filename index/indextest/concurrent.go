package indextest

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/index"
)

// testOneWins lets many put different keys on the same instants at once.
func testOneWins(t *testing.T, x index.Index) {
	const instants, rivals = 12, 16
	row := rowOf("race")
	var won [instants][]string
	for i := range won {
		won[i] = race(t, x, row, row.Start()+int64(i), rivals)
	}
	for i, e := range query(t, x, row, row.Start(), row.End()) {
		if len(won[i]) == 1 && e.Key != won[i][0] {
			t.Errorf("instant %d holds the key %q, but the put of %q was acknowledged", e.Time, e.Key, won[i][0])
		}
	}
}

// race returns the keys whose puts were acknowledged; exactly one is right.
func race(t *testing.T, x index.Index, row index.Row, instant int64, rivals int) (won []string) {
	var mu sync.Mutex
	var start, done sync.WaitGroup
	start.Add(1)
	for r := range rivals {
		done.Go(func() {
			start.Wait()
			e := index.Entry{Time: instant, Key: "rival/" + strconv.Itoa(r)}
			err := x.Put(t.Context(), row, e)
			if err != nil && !errors.Is(err, index.ErrExists) {
				t.Errorf("put of %d by rival %d: got error %v, want none or ErrExists", instant, r, err)
			}
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				won = append(won, e.Key)
			}
		})
	}
	start.Done()
	done.Wait()
	if len(won) != 1 {
		t.Errorf("instant %d: the puts of %d rivals were acknowledged, want exactly 1: %v", instant, len(won), won)
	}
	return won
}

// testReadersWriters checks, while a row is written, that a query finds every
// entry that was acknowledged before it began, in order, and nothing twice.
func testReadersWriters(t *testing.T, x index.Index) {
	const writers, each = 4, 50
	b := &busyRow{index: x, row: rowOf("busy"), acknowledged: make([]atomic.Int64, writers)}
	var writing, reading sync.WaitGroup
	for w := range writers {
		writing.Go(func() { b.write(t, w, each) })
	}
	for range 3 {
		reading.Go(func() { b.read(t) })
	}
	writing.Wait()
	b.finished.Store(true)
	reading.Wait()
	if got := query(t, x, b.row, b.row.Start(), b.row.End()); len(got) != writers*each {
		t.Errorf("%d entries after all puts, want %d", len(got), writers*each)
	}
}

// busyRow is a row that several write at once.
type busyRow struct {
	index        index.Index
	row          index.Row
	acknowledged []atomic.Int64 // how many of each writer's puts
	finished     atomic.Bool
}

// instant returns the instant of a writer's nth entry.
func (b *busyRow) instant(writer, n int) int64 {
	return b.row.Start() + int64(n*len(b.acknowledged)+writer)*int64(time.Second)
}

func (b *busyRow) write(t *testing.T, writer, n int) {
	for i := range n {
		if err := b.index.Put(t.Context(), b.row, entryAt(b.row, b.instant(writer, i))); err != nil {
			t.Errorf("put by writer %d: %v", writer, err)
			return
		}
		b.acknowledged[writer].Add(1)
	}
}

// read queries the row again and again until the writers have finished.
func (b *busyRow) read(t *testing.T) {
	before := make([]int64, len(b.acknowledged))
	for !b.finished.Load() && !t.Failed() {
		for w := range before {
			before[w] = b.acknowledged[w].Load()
		}
		got, err := b.index.Query(t.Context(), b.row, math.MinInt64, math.MaxInt64)
		if err != nil {
			t.Errorf("query while others put: %v", err)
			return
		}
		for w, n := range before {
			checkSeen(t, got, func(n int) int64 { return b.instant(w, n) }, int(n))
		}
		time.Sleep(time.Millisecond) // lets a slow store breathe
	}
}

// checkSeen fails unless got ascends and holds the first n instants.
func checkSeen(t *testing.T, got []index.Entry, instant func(n int) int64, n int) {
	if !slices.IsSortedFunc(got, byTime) {
		t.Error("entries out of order while others put")
	}
	for i := range n {
		found := 0
		for _, e := range got {
			if e.Time == instant(i) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("instant %d was acknowledged before the query, which found it %d times", instant(i), found)
			return
		}
	}
}
