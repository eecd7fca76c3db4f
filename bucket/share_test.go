package bucket_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
)

// waitingOf returns a tenant's entries that wait.
func waitingOf(t *testing.T, c *bucket.Collector[ids], tenant string) []index.Entry {
	t.Helper()
	entries, err := c.Waiting(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// TestShare follows one tenant's values from the open tick, past an index that
// refuses them, out of the window.
func TestShare(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	now := time.Unix(1_700_000_000, 0)
	opts := fast()
	opts.Now, opts.MaxPending = func() time.Time { return now }, 100
	c := s.collector(t, opts)
	check := func(when string, ticks, values int, bytes int64, waiting ...int64) {
		t.Helper()
		want := bucket.Share{Ticks: ticks, Values: values, Bytes: bytes}
		if got, err := c.Share(t.Context(), "a"); got != want || err != nil {
			t.Errorf("%s: share %+v, %v, want %+v", when, got, err, want)
		}
		entries := waitingOf(t, c, "a")
		if !slices.EqualFunc(entries, waiting, func(e index.Entry, at int64) bool { return e.Time == at && e.Key != "" }) {
			t.Errorf("%s: %v wait, want those of %v", when, entries, waiting)
		}
	}
	check("unknown", 0, 0, 0)
	mustAdd(t, c, "a", 1, 2)
	mustAdd(t, c, "b", 3)
	check("open", 1, 0, 2)

	s.index.Decide(func(call faulttest.Call) faulttest.Fault { return faulttest.Fault{Err: errBroken} })
	gaveUp, cancel := context.WithCancel(t.Context())
	cancel()
	first := now.UnixNano()
	if err := c.Flush(gaveUp); err == nil {
		t.Fatal("flushed into an index that refuses")
	}
	now = now.Add(3 * time.Second)
	mustAdd(t, c, "a", 4)
	check("sealed and open", 2, 1, 3, first)
	second := now.UnixNano()
	if err := c.Flush(gaveUp); err == nil {
		t.Fatal("flushed into an index that refuses")
	}
	check("two wait", 2, 2, 3, first, second)

	s.index.Heal()
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("stored", 2, 0, 0)
	now = now.Add(12 * time.Second) // the first is a window old
	check("the first has left", 1, 0, 0)
	now = now.Add(3 * time.Second)
	check("both have", 0, 0, 0)
	if n := c.Stats().MaxBytes; n != 100 {
		t.Errorf("at most %d pending, want 100", n)
	}
}

// TestTenants lists tenants of memory and of the index, each once.
func TestTenants(t *testing.T) {
	t.Parallel()
	idx := index.NewMemIndex()
	now := time.Unix(1_700_000_000, 0)
	c, err := bucket.NewCollector(idx, newStores(t).blobs, mergeIDs, &bucket.CollectorOptions[ids]{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	mustAdd(t, c, "stored", 1)
	mustAdd(t, c, "both", 1)
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, c, "both", 2)
	mustAdd(t, c, "live", 3)
	got, err := c.Tenants(t.Context())
	if want := []string{"both", "live", "stored"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("tenants %q, %v; want %q", got, err, want)
	}
	if got, want := c.LiveTenants(), []string{"both", "live"}; !slices.Equal(got, want) {
		t.Errorf("live tenants %q, want %q", got, want)
	}
	if _, err := newStores(t).collector(t, nil).Tenants(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("an index that does not list tenants: %v", err)
	}
}
