package s3blob_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/s3blob"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

func contains(err error, text string) bool { return strings.Contains(err.Error(), text) }

// samples returns the counts of one metric by its labels' values.
func samples(t *testing.T, registry *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var values []string
			for _, label := range m.GetLabel() {
				values = append(values, label.GetValue())
			}
			counts[strings.Join(values, " ")] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return counts
}

func counter(t *testing.T, registry *prometheus.Registry, name, labels string) float64 {
	t.Helper()
	return samples(t, registry, name)[labels]
}

// TestMetrics counts requests under the names that Scope's dashboards know.
func TestMetrics(t *testing.T) {
	t.Parallel()
	get := func(f fixture, key string) { _, _ = tiertest.Found(context.Background(), f, []string{key}) }
	for _, c := range []struct {
		name string
		do   func(f fixture, key string)
		want map[string]float64
	}{
		{"found", get, map[string]float64{"S3.Get 200": 1}},
		{"absent", func(f fixture, _ string) { get(f, "absent") }, map[string]float64{"S3.Get 404": 1}},
		{"twice", func(f fixture, key string) {
			f.faults.Inject(faulttest.Fault{Status: 503, Times: 1})
			get(f, key)
		}, map[string]float64{"S3.Get 503": 1, "S3.Get 200": 1}},
		{"cut", func(f fixture, key string) {
			f.faults.Inject(faulttest.Fault{Truncate: true, Times: 1})
			get(f, key)
		}, map[string]float64{"S3.Get error": 1, "S3.Get 200": 1}},
		{"reset", func(f fixture, key string) {
			f.faults.Inject(faulttest.Fault{Err: faulttest.ErrReset, Times: 1})
			get(f, key)
		}, map[string]float64{"S3.Get error": 1, "S3.Get 200": 1}},
		{"stall", func(f fixture, key string) {
			f.faults.Inject(faulttest.Fault{Stall: true, Times: 1})
			get(f, key)
		}, map[string]float64{"S3.Get timeout": 1, "S3.Get 200": 1}},
		{"taken", func(f fixture, key string) { _ = f.Put(context.Background(), key, nil) }, map[string]float64{"S3.Put 412": 1, "S3.Head 200": 1}},
		{"put", func(f fixture, _ string) { _ = f.Put(context.Background(), "new", nil) }, map[string]float64{"S3.Put 200": 1}},
		{"cancelled", func(f fixture, key string) {
			f.faults.Inject(faulttest.Fault{Hang: true})
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, _ = tiertest.Found(ctx, f, []string{key})
		}, map[string]float64{"S3.Get cancel": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T) {
				const name = "scope_s3_request_duration_seconds"
				registry := prometheus.NewRegistry()
				f := fake(t, s3blob.Options{Registerer: registry, Namespace: "scope"})
				key := tiertest.Key()
				mustPut(t, f, map[string][]byte{key: tiertest.Blob(1000)})
				before := samples(t, registry, name)
				c.do(f, key)
				after := samples(t, registry, name)
				for labels, n := range after {
					if n -= before[labels]; n != c.want[labels] {
						t.Errorf("%q counted %v, want %v", labels, n, c.want[labels])
					}
				}
				for labels := range c.want {
					if _, ok := after[labels]; !ok {
						t.Errorf("%q was not counted", labels)
					}
				}
			})
		})
	}
}

// TestMetricsShared opens two tiers with one registry: they add up. A registry
// with another metric of the same name is an error.
func TestMetricsShared(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	opts := s3blob.Options{Registerer: registry, Namespace: "scope"}
	for range 2 {
		mustPut(t, fake(t, opts), blobs(3, 10))
	}
	if n := counter(t, registry, "scope_s3_request_duration_seconds", "S3.Put 200"); n != 6 {
		t.Errorf("counted %v puts, want 6", n)
	}
	other := prometheus.NewRegistry()
	other.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "scope_s3_request_duration_seconds"}))
	opts.Registerer = other
	if _, err := s3blob.Open(config(nowhere, http.DefaultTransport), bucket, &opts); err == nil {
		t.Error("Open took a registry whose metric of that name is another")
	}
}
