package faulttest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/index/indextest"
	"github.com/timeblob/timeblob/tiered"
)

func TestIndexWithoutFaultsConforms(t *testing.T) {
	t.Parallel()
	indextest.Run(t, func(*testing.T) index.Index { return NewIndex(index.NewMemIndex(), 1) })
}

func TestLevelsWithoutFaultsConform(t *testing.T) {
	t.Parallel()
	open := func(*testing.T) index.Index { return NewLevels(index.NewMemIndex(), 1) }
	t.Run("index", func(t *testing.T) { t.Parallel(); indextest.Run(t, open) })
	t.Run("places", func(t *testing.T) { t.Parallel(); indextest.RunPlaces(t, open) })
}

var row = index.Row{Tenant: "t", Hour: 472222}

// found returns how many entries of the row the index finds.
func found(t *testing.T, x index.Index) int {
	t.Helper()
	entries, err := x.Query(t.Context(), row, row.Start(), row.End())
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestIndexFaults puts one entry with each fault, and looks for it beneath.
func TestIndexFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault Fault
		err   error
		found int
	}{
		"nothing said": {Fault{}, ErrInjected, 0},
		"pass":         {Fault{Pass: true}, nil, 1},
		"an error":     {Fault{Err: errSample}, errSample, 0},
		"applied":      {Fault{Applied: true}, ErrInjected, 1},
		"late":         {Fault{Applied: true, Hang: true}, context.DeadlineExceeded, 1},
		"hang":         {Fault{Hang: true}, context.DeadlineExceeded, 0},
		"delay":        {Fault{Delay: time.Hour}, context.DeadlineExceeded, 0},
		"lie":          {Fault{Lie: true}, nil, 0},
		"behind":       {Fault{Behind: 3}, nil, 0},
		"queries":      {Fault{Op: Query}, nil, 1},
		"reads":        {Fault{Corrupt: true}, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				mem := index.NewMemIndex()
				x := NewIndex(mem, 1)
				x.Inject(c.fault)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := x.Put(ctx, row, index.Entry{Time: row.Start(), Key: "k"})
				if n := found(t, mem); !errors.Is(err, c.err) || n != c.found {
					t.Errorf("got error %v and %d entries, want %v and %d", err, n, c.err, c.found)
				}
			})
		})
	}
}

// TestBehind checks that a write that is behind becomes visible after later ones.
func TestBehind(t *testing.T) {
	t.Parallel()
	x := NewIndex(index.NewMemIndex(), 1)
	x.Inject(Fault{Op: Put, Behind: 2, Times: 1})
	for i := range int64(2) {
		if err := x.Put(t.Context(), row, index.Entry{Time: row.Start() + i, Key: "k"}); err != nil {
			t.Fatal(err)
		}
	}
	for call, want := range []int{1, 2, 2} { // the second put was the first later call
		if n := found(t, x); n != want {
			t.Errorf("query %d found %d entries, want %d", call, n, want)
		}
	}
	store := NewTier(new(tiered.MemTier), 1)
	store.Inject(Fault{Op: Put, Behind: 99})
	blob := []byte("blob")
	if err := store.Put(t.Context(), "k", blob); err != nil {
		t.Fatal(err)
	}
	clear(blob) // it is the caller's again
	expect(t, store, map[string][]byte{})
	store.Heal()
	expect(t, store, map[string][]byte{"k": []byte("blob")})
}

// TestDecide chooses faults by a function, beside injected ones.
func TestDecide(t *testing.T) {
	t.Parallel()
	x := NewIndex(index.NewMemIndex(), 1)
	x.Decide(func(c Call) Fault {
		if c.Op == Put && c.N == 2 {
			return Fault{Err: errSample}
		}
		return Fault{}
	})
	rule := x.Inject(Fault{Op: Put, Match: func(c Call) bool { return c.Entry.Time == row.Start()+2 }})
	for i, want := range []error{nil, errSample, ErrInjected, nil} {
		err := x.Put(t.Context(), row, index.Entry{Time: row.Start() + int64(i), Key: "k"})
		if !errors.Is(err, want) {
			t.Errorf("put %d: got error %v, want %v", i, err, want)
		}
	}
	if x.Calls(Put) != 4 || x.Hits(Put) != 2 || rule.Hit() != 1 || x.Calls(Put|Query) != 4 {
		t.Errorf("%d calls and %d hits, want 4 and 2", x.Calls(Put), x.Hits(Put))
	}
	x.Heal()
	if n := found(t, x); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
}
