package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// mustRefuse adds a value that must be refused, by the tenant's own limit or by the limit for all tenants.
func mustRefuse(t testing.TB, c *bucket.Collector[ids], tenant string, v ids, ofTenant bool) *bucket.FullError {
	t.Helper()
	full, ok := errors.AsType[*bucket.FullError](c.Add(t.Context(), tenant, v, nil))
	if !ok || full.OfTenant != ofTenant || full.Size != int64(len(v)) {
		t.Fatalf("tenant %q: got %+v, want one with OfTenant %v", tenant, full, ofTenant)
	}
	return full
}

func wantPending(t testing.TB, c *bucket.Collector[ids], tenant string, want int64) {
	t.Helper()
	if got, _ := c.TenantPending(tenant); got != want {
		t.Errorf("tenant %q: %d bytes are pending, want %d", tenant, got, want)
	}
}

// TestRule7OneTenantLeavesRoomForOthers fills a tenant's part while the store
// is away, in the open tick and in sealed ones.
func TestRule7OneTenantLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	opts := fast()
	opts.MaxPending, opts.MaxTenantPending = 100, 30
	c := s.collector(t, opts)
	s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken})
	mustAdd(t, c, "greedy", upTo(10)...)
	gone, leave := context.WithCancel(t.Context())
	leave()
	if err := c.Flush(gone); err == nil { // seals, and tries nothing
		t.Fatal("flushed to a store that is away")
	}
	wantPending(t, c, "greedy", 10)
	mustAdd(t, c, "greedy", upTo(20)...)
	full := mustRefuse(t, c, "greedy", ids{1}, true)
	if full.Pending != 30 || full.Limit != 30 || !strings.Contains(full.Error(), "30 bytes of this tenant wait to be stored") {
		t.Errorf("said %v", full)
	}
	large := mustRefuse(t, c, "new", upTo(31), true)
	if !strings.Contains(large.Error(), "over the limit of 30 for what waits of one tenant") {
		t.Errorf("said %v", large)
	}
	mustAdd(t, c, "modest", upTo(30)...)
	mustAdd(t, c, "third", upTo(30)...)
	mustAdd(t, c, "fourth", upTo(10)...)
	mustRefuse(t, c, "fourth", ids{1}, false) // now all is full
	mustRefuse(t, c, "new", ids{1}, false)
	if got, want := c.LiveTenants(), []string{"fourth", "greedy", "modest", "third"}; !slices.Equal(got, want) {
		t.Errorf("tenants %q, want %q: what was refused makes none", got, want)
	}
	s.tier.Heal()
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range c.LiveTenants() {
		wantPending(t, c, tenant, 0)
	}
	mustAdd(t, c, "greedy", upTo(30)...)
	mustRefuse(t, c, "greedy", ids{1}, true)
}

func TestTenantLimits(t *testing.T) {
	t.Parallel()
	own := func(tenant string) int64 { return map[string]int64{"own": 7, "vast": 1000}[tenant] }
	for name, c := range map[string]struct {
		tenant string
		opts   bucket.CollectorOptions[ids]
		limit  int64
		all    bool // the limit for all tenants comes first
	}{
		"a quarter":                 {"a", bucket.CollectorOptions[ids]{MaxPending: 40}, 10, false},
		"a quarter of little":       {"a", bucket.CollectorOptions[ids]{MaxPending: 3}, 1, false},
		"all of a single tenant":    {"", bucket.CollectorOptions[ids]{MaxPending: 40}, 40, true},
		"set":                       {"a", bucket.CollectorOptions[ids]{MaxPending: 40, MaxTenantPending: 20}, 20, false},
		"set for a single tenant":   {"", bucket.CollectorOptions[ids]{MaxPending: 40, MaxTenantPending: 20}, 20, false},
		"its own":                   {"own", bucket.CollectorOptions[ids]{MaxPending: 40, MaxPendingOf: own}, 7, false},
		"its own, past that of all": {"vast", bucket.CollectorOptions[ids]{MaxPending: 40, MaxPendingOf: own}, 1000, true},
		"not its own":               {"a", bucket.CollectorOptions[ids]{MaxPending: 40, MaxPendingOf: own}, 10, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			collector := newStores(t).collector(t, &c.opts)
			if _, limit := collector.TenantPending(c.tenant); limit != c.limit {
				t.Errorf("limit %d, want %d", limit, c.limit)
			}
			most := min(c.limit, c.opts.MaxPending)
			mustAdd(t, collector, c.tenant, upTo(int(most)-1)...)
			if err := collector.Full(c.tenant); err != nil {
				t.Errorf("full with room for one: %v", err)
			}
			mustAdd(t, collector, c.tenant, 1)
			if full, ok := errors.AsType[*bucket.FullError](collector.Full(c.tenant)); !ok || full.OfTenant == c.all {
				t.Errorf("full: %v", full)
			}
			mustRefuse(t, collector, c.tenant, ids{1}, !c.all)
			wantPending(t, collector, c.tenant, most)
		})
	}
	if _, err := bucket.NewCollector(index.NewMemIndex(), newStores(t).blobs, mergeIDs,
		&bucket.CollectorOptions[ids]{MaxTenantPending: -1}); err == nil {
		t.Error("a negative limit was taken")
	}
}

// TestRefusedMergesAreNotPending lets merges fail and panic.
func TestRefusedMergesAreNotPending(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	c, err := bucket.NewCollector(s.index, s.blobs, func(parts []ids) (ids, error) {
		for _, p := range parts {
			switch {
			case slices.Contains(p, -1):
				return nil, errBroken
			case slices.Contains(p, -2):
				panic("broken on purpose")
			}
		}
		return mergeIDs(parts)
	}, fast())
	if err != nil {
		t.Fatal(err)
	}
	mustAdd(t, c, "a", 1)
	before, _ := c.TenantPending("a")
	if err := c.Add(t.Context(), "a", ids{-1}, nil); !errors.Is(err, errBroken) || !strings.Contains(err.Error(), `tenant "a"`) {
		t.Errorf("got %v", err)
	}
	if p, ok := errors.AsType[*bucket.PanicError](c.Add(t.Context(), "a", ids{-2}, nil)); !ok || p.Func != "merge" {
		t.Errorf("a merge that panics: %v", p)
	}
	wantPending(t, c, "a", before)
	if c.Pending() != before {
		t.Errorf("%d bytes of all are pending, want %d", c.Pending(), before)
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantPending(t, c, "a", 0)
}

// TestPendingReturnsToNothing lets tenants add beside each other and beside
// flushes, merges and stores failing now and then: every accepted value is stored,
// and in the end nothing is counted any more.
func TestPendingReturnsToNothing(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	opts := fast()
	opts.MaxPending, opts.MaxTenantPending = 400, 150
	opts.Size = func(v ids) int64 { return int64(len(v)) }
	var merges atomic.Int64
	c, err := bucket.NewCollector(s.index, s.blobs, func(parts []ids) (ids, error) {
		if merges.Add(1)%17 == 0 {
			return nil, errBroken
		}
		return mergeIDs(parts)
	}, opts)
	if err != nil {
		t.Fatal(err)
	}
	s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken, Times: 20})
	s.index.Inject(faulttest.Fault{Op: faulttest.Put, Times: 20, Err: errBroken, Applied: true})
	run := start(t, c)
	var taken [4]atomic.Int64
	var adders sync.WaitGroup
	for a := range 12 {
		adders.Go(func() {
			for i := range 200 {
				tenant := (a + i) % len(taken)
				if c.Add(t.Context(), fmt.Sprint("t", tenant), ids{a<<24 + i}, nil) == nil {
					taken[tenant].Add(1)
				}
				if bytes, limit := c.TenantPending(fmt.Sprint("t", tenant)); bytes < 0 || limit != 150 {
					t.Errorf("%d bytes of %d", bytes, limit)
				}
				if i%50 == 0 {
					if err := c.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	adders.Wait()
	run.end(t)
	for i := range taken {
		tenant := fmt.Sprint("t", i)
		wantPending(t, c, tenant, 0)
		if got, want := len(s.stored(t, tenant)), int(taken[i].Load()); got != want || want == 0 {
			t.Errorf("%s: %d values are stored, %d were taken", tenant, got, want)
		}
	}
	if n := c.Pending(); n != 0 {
		t.Errorf("%d bytes of all are still pending", n)
	}
}

// TestManyTenantsFillAtOnce checks that tenants that add at the same moment do not
// pass the limit of all together.
func TestManyTenantsFillAtOnce(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	for range 2000 {
		opts := fast()
		opts.MaxPending, opts.MaxTenantPending = 2, 2
		c := s.collector(t, opts)
		var adding sync.WaitGroup
		begin := make(chan struct{})
		for w := range 4 {
			adding.Go(func() {
				<-begin
				_ = c.Add(t.Context(), fmt.Sprint("t", w), ids{w}, nil)
			})
		}
		close(begin)
		adding.Wait()
		if n := c.Pending(); n > 2 {
			t.Fatalf("%d are pending, want 2 at most", n)
		}
	}
}

// TestLimitsHoldWithoutASize adds values of 10 kB that cannot be encoded: they
// are weighed all the same.
func TestLimitsHoldWithoutASize(t *testing.T) {
	t.Parallel()
	blobs, err := tiered.New(textCodec{}, &tiered.MemTier{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := bucket.NewCollector(index.NewMemIndex(), noEncoding{blobs}, mergeTexts,
		&bucket.CollectorOptions[string]{MaxPending: 100_000, MaxTenantPending: 25_000})
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for range 100 {
		err := c.Add(t.Context(), "a", strings.Repeat("x", 10_000), nil)
		if _, full := errors.AsType[*bucket.FullError](err); err == nil {
			taken++
		} else if !full {
			t.Fatal(err)
		}
	}
	if taken != 2 {
		t.Errorf("%d values of 10 kB were taken, want 2 of a limit of 25 kB", taken)
	}
	if err := c.Close(t.Context()); err != nil || c.Pending() != 0 {
		t.Errorf("close: %v, %d bytes pending", err, c.Pending())
	}
}

// TestASizeThatSaysTooMuch adds blobs whose value is said to take all memory that there can be. The
// second one has to be merged and is refused. The pending bytes stay the same.
func TestASizeThatSaysTooMuch(t *testing.T) {
	t.Parallel()
	blobs, err := tiered.New(textCodec{}, &tiered.MemTier{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := bucket.NewCollector(index.NewMemIndex(), blobs, mergeTexts, &bucket.CollectorOptions[string]{Size: func(string) int64 { return math.MaxInt64 }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		err := c.AddBlob(t.Context(), "a", bucket.Encoded[string]{Blob: []byte("four")}, nil)
		if _, full := errors.AsType[*bucket.FullError](err); full != (i > 0) || err != nil && !full {
			t.Errorf("blob %d: %v", i, err)
		}
		if c.Pending() != 4 {
			t.Errorf("after blob %d: %d bytes are pending, want 4", i, c.Pending())
		}
	}
}

// noEncoding is a blob store whose codec fails.
type noEncoding struct{ bucket.Blobs[string] }

func (noEncoding) Encode(string) ([]byte, error) { return nil, errBroken }
