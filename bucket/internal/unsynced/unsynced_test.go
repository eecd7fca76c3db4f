package unsynced

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errSync = errors.New("the disk is full")

func TestASyncTakesWhatCameBefore(t *testing.T) {
	t.Parallel()
	r := New[int](Options{First: time.Hour, Every: time.Hour, Bytes: 100})
	r.Add(r.Epoch(), 1, 1)
	left, err := r.Sync(t.Context(), func(context.Context) error {
		r.Add(r.Epoch(), 2, 1)
		return nil
	})
	if err != nil || !slices.Equal(left, []int{1}) || !slices.Equal(r.Values(), []int{2}) {
		t.Errorf("%v, %v; %v stay", left, err, r.Values())
	}
}

// TestAFailedSyncTakesEverything fails a sync while one value is added and the
// commit of another is under way.
func TestAFailedSyncTakesEverything(t *testing.T) {
	t.Parallel()
	r := New[int](Options{First: time.Hour, Every: time.Hour, Bytes: 100})
	r.Add(r.Epoch(), 1, 1)
	underWay := r.Epoch()
	left, err := r.Sync(t.Context(), func(context.Context) error {
		r.Add(r.Epoch(), 2, 1)
		return errSync
	})
	if !errors.Is(err, errSync) || !slices.Equal(left, []int{1, 2}) || len(r.Values()) > 0 {
		t.Errorf("%v, %v; %v stay", left, err, r.Values())
	}
	if r.Add(underWay, 3, 1) {
		t.Error("a commit that began before the sync failed is taken")
	}
	if !r.Add(r.Epoch(), 3, 1) {
		t.Error("a commit that began after the sync failed is not taken")
	}
}

func TestWhenToSync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := New[int](Options{First: 30 * time.Second, Every: time.Minute, Bytes: 100})
		wait := func() time.Duration {
			begun := time.Now()
			if err := r.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Sync(t.Context(), func(context.Context) error { return nil }); err != nil {
				t.Fatal(err)
			}
			return time.Since(begun)
		}
		for _, every := range []time.Duration{time.Minute / 2, time.Minute, time.Minute} {
			time.AfterFunc(time.Hour, func() { r.Add(r.Epoch(), 1, 1) })
			if took := wait(); took != time.Hour+every {
				t.Errorf("a small value is synced after %v, want %v", took-time.Hour, every)
			}
		}
		r.Add(r.Epoch(), 1, 1)
		time.AfterFunc(time.Second, func() { r.Add(r.Epoch(), 2, 99) })
		if took := wait(); took != time.Second {
			t.Errorf("large values are synced after %v", took)
		}
		r.Note(1000)
		time.AfterFunc(time.Second, func() { r.Add(r.Epoch(), 1, 1) })
		if took := wait(); took != time.Second {
			t.Errorf("a value with large records is synced after %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r.Add(r.Epoch(), 1, 1)
		if err := r.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// TestEveryValueLeavesOnce adds values while syncs succeed and fail at random. A
// value whose commit came before a sync that succeeded, and after the last one
// that failed, leaves as synced; every other one is told to be lost.
func TestEveryValueLeavesOnce(t *testing.T) {
	t.Parallel()
	r := New[int](Options{First: 1, Every: 1, Bytes: 1})
	const values = 2000
	var mu sync.Mutex
	left := make(map[int]int)
	stop, adders := make(chan struct{}), sync.WaitGroup{}
	note := func(gone []int) {
		mu.Lock()
		defer mu.Unlock()
		for _, v := range gone {
			left[v]++
		}
	}
	syncer := sync.WaitGroup{}
	syncer.Go(func() {
		for {
			gone, _ := r.Sync(t.Context(), func(context.Context) error {
				if rand.IntN(2) == 0 {
					return errSync
				}
				return nil
			})
			note(gone)
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for w := range 4 {
		adders.Go(func() {
			for v := w; v < values; v += 4 {
				if !r.Add(r.Epoch(), v, 1) {
					note([]int{v})
				}
			}
		})
	}
	adders.Wait()
	close(stop)
	syncer.Wait()
	note(r.Values())
	for v := range values {
		if left[v] != 1 {
			t.Errorf("value %d left %d times", v, left[v])
		}
	}
}
