package memcache_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/timeblob/timeblob/memcache"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

// value returns the value of a counter or gauge, or the number of observations of a histogram, by name and
// labels as a scrape shows them.
func value(t testing.TB, reg *prometheus.Registry, series string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.Metric {
			if family.GetName()+labels(m) == series {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	t.Fatalf("there is no %s", series)
	return 0
}

func labels(m *dto.Metric) string {
	var pairs []string
	for _, label := range m.Label {
		pairs = append(pairs, fmt.Sprintf("%s=%q", label.GetName(), label.GetValue()))
	}
	if pairs == nil {
		return ""
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	opts := memcache.Options{Registerer: reg, Namespace: "scope", MaxItem: 10}
	inBubble(t, opts, func(t *testing.T, tier *memcache.Tier, f *fake) {
		put(t, tier, "a", "b", "bad key")
		if err := tier.Put(t.Context(), "big", make([]byte, 11)); err != nil {
			t.Errorf("Put: %v", err)
		}
		get(t, t.Context(), tier, []string{"a", "b", "c"}, wants{found: 2})
		f.set(func(f *fake) { f.hang = true })
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, _ = tiertest.Found(ctx, tier, []string{"a"})
		for range 4 {
			_, _ = tiertest.Found(t.Context(), tier, []string{"a"})
		}
		for series, want := range map[string]float64{
			"scope_memcache_requests_total": 8,
			"scope_memcache_hits_total":     2,
			`scope_memcache_request_duration_seconds{method="Memcache.Put",status_code="200"}`:         2,
			`scope_memcache_request_duration_seconds{method="Memcache.GetMulti",status_code="200"}`:    1,
			`scope_memcache_request_duration_seconds{method="Memcache.GetMulti",status_code="500"}`:    4,
			`scope_memcache_request_duration_seconds{method="Memcache.GetMulti",status_code="cancel"}`: 1,
			`scope_memcache_skipped_total{reason="key"}`:                                               1,
			`scope_memcache_skipped_total{reason="size"}`:                                              1,
			`scope_memcache_servers{state="closed"}`:                                                   0,
			`scope_memcache_servers{state="open"}`:                                                     1,
			`scope_memcache_servers{state="half-open"}`:                                                0,
			"scope_memcache_lookup_failures_total":                                                     0,
		} {
			if got := value(t, reg, series); got != want {
				t.Errorf("%s is %v, want %v", series, got, want)
			}
		}
	})
}

func TestTiersShareMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reg, f := prometheus.NewRegistry(), new(fake)
		opts := memcache.Options{Registerer: reg, Dial: f.dial, Logger: testLogger(t)}
		expect := func(want float64) {
			if got := value(t, reg, `timeblob_memcache_servers{state="closed"}`); got != want {
				t.Errorf("%v servers, want %v", got, want)
			}
		}
		open(t, memcache.List("192.0.2.1:1", "192.0.2.2:1"), opts)
		second, err := memcache.Open(t.Context(), memcache.List("192.0.2.1:1", "192.0.2.1:1"), &opts)
		if err != nil {
			t.Fatal(err)
		}
		expect(3)
		if err := second.Close(); err != nil {
			t.Error(err)
		}
		expect(2)
	})
}

func TestMetricsOfAnotherKindAreAnError(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "timeblob_memcache_hits_total"}))
	if _, err := memcache.Open(t.Context(), memcache.List("192.0.2.1:1"), &memcache.Options{Registerer: reg}); err == nil {
		t.Error("no error")
	}
}
