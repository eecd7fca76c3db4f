package tiered_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/tiered"
)

func TestMetricsOfReads(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *tiered.Options[string]) {
		o.Memory = 1 << 20
		o.Namespace = "scope"
	})
	hold(t, h.farBlobs, "a")
	hold(t, h.blobs, "a", "b")
	h.expect(t, []string{"a", "b", "c", "a"}, "a", "b")
	h.expect(t, []string{"a", "b"}, "a", "b")
	if got, want := h.Stats().Tiers, []tiered.TierStats{{Name: "memory", Hits: 2, Misses: 4}, {Name: "near", Misses: 3},
		{Name: "far", Hits: 1, Misses: 2}, {Name: "authority", Hits: 1, Misses: 1}}; !slices.Equal(got, want) || h.Stats().Bytes == 0 {
		t.Errorf("stats %+v, want %+v", h.Stats(), want)
	}
	h.healAndWait(t)
	for _, tc := range []struct {
		want   float64
		name   string
		labels []string
	}{
		{6, "in_process_cache_requests_total", nil},
		{2, "in_process_cache_hits_total", nil},
		{3, "tier_requests_total", []string{"near"}},
		{3, "tier_requests_total", []string{"far"}},
		{2, "tier_requests_total", []string{"authority"}},
		{0, "tier_hits_total", []string{"near"}},
		{1, "tier_hits_total", []string{"far"}},
		{1, "tier_hits_total", []string{"authority"}},
		{3, "tier_misses_total", []string{"near"}},
		{2, "tier_misses_total", []string{"far"}},
		{1, "tier_misses_total", []string{"authority"}},
		{0, "tier_errors_total", nil},
		{1, "tier_duration_seconds", []string{"near", "get"}},
		{2, "tier_duration_seconds", []string{"near", "put"}},
		{2, "tier_write_backs_total", []string{"near", "stored"}},
		{1, "tier_write_backs_total", []string{"far", "stored"}},
		{0, "in_process_cache_bytes", nil}, // the store is closed
	} {
		h.count(t, tc.want, "scope_"+tc.name, tc.labels...)
	}
}

// TestMetricsOfFaults checks that every fault of a cache that does not surface is counted.
func TestMetricsOfFaults(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		kind  string
		fault faulttest.Fault
	}{
		{"failed", faulttest.Fault{Chance: 0.5}},
		{"failed", faulttest.Fault{Every: 3, Partial: true, Op: faulttest.Get}},
		{"timeout", faulttest.Fault{Every: 2, Hang: true}},
		{"corrupt", faulttest.Fault{Every: 2, Corrupt: true}},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t, func(o *tiered.Options[string]) { o.Caches = o.Caches[:1] })
			keys := fixedKeys(30)
			hold(t, h.blobs, keys...)
			hold(t, h.nearBlobs, keys...)
			h.near.Inject(tc.fault)
			for _, key := range keys {
				h.expect(t, []string{key}, key)
			}
			synctest.Wait()
			time.Sleep(time.Minute) // for the puts that hang
			if h.near.Hits(faulttest.Get) == 0 {
				t.Error("no fault was injected")
			}
			h.count(t, float64(h.near.Hits(faulttest.Get|faulttest.Put)), "timeblob_tier_errors_total", "near", tc.kind)
			h.healAndWait(t)
		})
	}
}

func TestStoresShareMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	share := func(o *tiered.Options[string]) { o.Registerer, o.Memory = reg, 1<<20 }
	first, second := newHouse(t, share), newHouse(t, share)
	first.registry, second.registry = reg, reg
	hold(t, first.blobs, "a")
	hold(t, second.blobs, "a")
	first.expect(t, []string{"a"}, "a")
	one := first.metric(t, "timeblob_in_process_cache_bytes")
	second.expect(t, []string{"a"}, "a")
	first.count(t, 2, "timeblob_tier_hits_total", "authority")
	first.count(t, 2*one, "timeblob_in_process_cache_bytes")
	second.healAndWait(t)
	first.count(t, one, "timeblob_in_process_cache_bytes")
	first.healAndWait(t)
}

func TestMetricOfAnotherKindIsAnError(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "timeblob_tier_requests_total"}))
	if _, err := tiered.New(sealed{}, new(tiered.MemTier), &tiered.Options[string]{Registerer: reg}); err == nil {
		t.Error("the store registered beside a gauge of the same name")
	}
}

func TestErrorsNameAFewKeys(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.authority.Inject(faulttest.Fault{})
	keys := []string{"a", "b", "c", "d", "e", "f", "g"}
	_, err := h.Get(t.Context(), keys)
	const want = `tiered: authority get: "a", "b", "c", "d", "e" and 2 more: faulttest: injected fault`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if !slices.Equal(named(err), keys) {
		t.Errorf("the error's keys are %q", named(err))
	}
	h.healAndWait(t)
}
