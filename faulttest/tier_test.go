package faulttest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/tiered"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

var errSample = errors.New("sample")

// filled returns a faulty tier over four blobs, and their keys.
func filled(t *testing.T) (*Tier, map[string][]byte) {
	t.Helper()
	f := NewTier(new(tiered.MemTier), 1)
	blobs := map[string][]byte{"a": []byte("aaaa"), "b": []byte("bb"), "c": []byte("c"), "empty": {}}
	for key, blob := range blobs {
		if err := f.Put(t.Context(), key, blob); err != nil {
			t.Fatal(err)
		}
	}
	return f, blobs
}

// expect fails unless the tier holds all of want.
func expect(t *testing.T, tier tiered.Tier, want map[string][]byte) {
	t.Helper()
	got, err := tiertest.Found(t.Context(), tier, slices.Collect(maps.Keys(want)))
	if err != nil || !maps.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("got %q and error %v, want %q", got, err, want)
	}
}

func TestTierWithoutFaultsConforms(t *testing.T) {
	t.Parallel()
	tiertest.Run(t, func(*testing.T) tiered.Tier { return NewTier(new(tiered.MemTier), 1) })
}

func TestFaultErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		fault    Fault
		get, put error
		found    int
	}{
		{"nothing said", Fault{}, ErrInjected, ErrInjected, 0},
		{"an error", Fault{Err: errSample}, errSample, errSample, 0},
		{"gets alone", Fault{Op: Get}, ErrInjected, nil, 0},
		{"puts alone", Fault{Op: Put}, nil, ErrInjected, 4},
		{"in part", Fault{Op: Get, Partial: true}, ErrInjected, nil, 2},
		{"another key", Fault{Match: func(c Call) bool { return c.Key == "z" }}, nil, nil, 4},
		{"one of the keys", Fault{Match: func(c Call) bool { return c.Key == "a" }}, ErrInjected, nil, 0},
		{"never", Fault{Chance: 1e-18}, nil, nil, 4},
		{"spoiling leaves puts alone", Fault{Corrupt: true, Truncate: true}, nil, nil, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f, blobs := filled(t)
			f.Inject(tc.fault)
			found, err := tiertest.Found(t.Context(), f, slices.Collect(maps.Keys(blobs)))
			if !errors.Is(err, tc.get) || len(found) != tc.found {
				t.Errorf("Get found %d, %v; want %d, %v", len(found), err, tc.found, tc.get)
			}
			if err := f.Put(t.Context(), "new", nil); !errors.Is(err, tc.put) {
				t.Errorf("Put returned %v, want %v", err, tc.put)
			}
			f.Heal()
			expect(t, f, blobs)
		})
	}
}

func TestFaultApplied(t *testing.T) {
	t.Parallel()
	f := NewTier(new(tiered.MemTier), 1)
	f.Inject(Fault{Op: Put, Applied: true})
	if err := f.Put(t.Context(), "a", []byte("x")); !errors.Is(err, ErrInjected) {
		t.Errorf("Put returned %v", err)
	}
	expect(t, f, map[string][]byte{"a": []byte("x")})
}

func TestFaultSpoils(t *testing.T) {
	t.Parallel()
	f, blobs := filled(t)
	f.Inject(Fault{Corrupt: true, Match: func(c Call) bool { return c.Key != "b" }})
	found, err := tiertest.Found(t.Context(), f, slices.Collect(maps.Keys(blobs)))
	if err != nil || !bytes.Equal(found["b"], blobs["b"]) {
		t.Errorf("got %q, %v", found, err)
	}
	for _, key := range []string{"a", "c", "empty"} {
		if bytes.Equal(found[key], blobs[key]) {
			t.Errorf("the blob of %q is whole", key)
		}
	}
	f.Heal()
	f.Inject(Fault{Truncate: true, Stray: true})
	halves, _ := f.Get(t.Context(), []string{"a", "b"})
	if len(halves) != 3 || string(halves[0]) != "aa" || string(halves[1]) != "b" {
		t.Errorf("got %q, want halves and a stray", halves)
	}
}

func TestFaultTimes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		fault Fault
		want  string // of six calls: x went wrong
	}{
		{Fault{Every: 3}, "..x..x"},
		{Fault{Times: 2}, "xx...."},
		{Fault{Every: 2, Times: 2}, ".x.x.."},
		{Fault{Chance: 1}, "xxxxxx"},
	} {
		f := NewTier(new(tiered.MemTier), 1)
		f.Inject(tc.fault)
		if got := outcomes(t, f, 6); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.fault, got, tc.want)
		}
		if f.Calls(Get) != 6 || f.Keys(Get) != 6 || f.Hits(Get) != strings.Count(tc.want, "x") || f.Calls(Put) != 0 {
			t.Errorf("%+v: %d calls of %d keys, %d faults", tc.fault, f.Calls(Get), f.Keys(Get), f.Hits(Get))
		}
	}
}

func outcomes(t *testing.T, f *Tier, n int) (s string) {
	for range n {
		if _, err := f.Get(t.Context(), []string{"a"}); err != nil {
			s += "x"
			continue
		}
		s += "."
	}
	return s
}

func TestFaultChanceIsSeeded(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) string {
		f := NewTier(new(tiered.MemTier), seed)
		f.Inject(Fault{Chance: 0.5})
		return outcomes(t, f, 64)
	}
	first := run(1)
	if first != run(1) || first == run(2) {
		t.Error("the seed does not decide")
	}
	if n := strings.Count(first, "x"); n < 16 || n > 48 {
		t.Errorf("%d of 64 went wrong, want about half", n)
	}
}

func TestFaultWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, _ := filled(t)
		f.Inject(Fault{Delay: time.Second, Times: 2})
		begin := time.Now()
		if found, err := f.Get(t.Context(), []string{"a"}); err != nil || len(found) != 1 || time.Since(begin) != time.Second {
			t.Errorf("delayed: %v, %v after %v", found, err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := f.Put(ctx, "z", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("delayed beyond the context's end: %v", err)
		}
		f.Inject(Fault{Hang: true})
		if _, err := f.Get(ctx, []string{"a"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hung: %v", err)
		}
		time.AfterFunc(time.Hour, f.Heal)
		if found, err := f.Get(t.Context(), []string{"a"}); err != nil || len(found) != 1 {
			t.Errorf("released: %v, %v", found, err)
		}
	})
}

// A tier that finds other keys' blobs answers with one that was put, and only under keys that it holds.
func TestFaultMisplace(t *testing.T) {
	t.Parallel()
	f, blobs := filled(t)
	rule := f.Inject(Fault{Misplace: true, Match: func(c Call) bool { return c.Key != "b" }})
	found, err := f.Get(t.Context(), []string{"a", "b", "absent", "empty"})
	if err != nil || found[0] == nil || bytes.Equal(found[0], blobs["a"]) || !bytes.Equal(found[1], blobs["b"]) || found[2] != nil || len(found[3]) == 0 {
		t.Errorf("got %q, %v", found, err)
	}
	if err := f.Put(t.Context(), "new", nil); err != nil || rule.Hit() != 1 {
		t.Errorf("a put: %v, %d hits", err, rule.Hit())
	}
	f.Heal()
	expect(t, f, blobs)
}

// A write that its client gave up arrives later.
func TestFaultBehindWithAnError(t *testing.T) {
	t.Parallel()
	f := NewTier(new(tiered.MemTier), 1)
	f.Inject(Fault{Op: Put, Behind: 1, Err: errSample, Times: 1})
	if err := f.Put(t.Context(), "a", []byte("x")); !errors.Is(err, errSample) {
		t.Errorf("the put returned %v", err)
	}
	expect(t, f, map[string][]byte{}) // a later call
	expect(t, f, map[string][]byte{"a": []byte("x")})
}
