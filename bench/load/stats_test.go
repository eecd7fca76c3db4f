package main

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		sorted []time.Duration
		share  float64
		want   time.Duration
	}{
		{nil, 0.5, 0}, {hundred[:1], 0, 1}, {hundred[:1], 1, 1}, {hundred, 0.5, 50}, {hundred, 0.99, 99},
		{hundred, 0.991, 100}, {hundred, 1, 100}, {hundred, 0, 1}, {hundred[:3], 0.5, 2}, {hundred[:2], 0.5, 1},
	} {
		if got := quantile(c.sorted, c.share); got != c.want {
			t.Errorf("%v of %d: got %v, want %v", c.share, len(c.sorted), got, c.want)
		}
	}
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	h := histogram{{1, 0}, {2, 10}, {4, 30}, {math.Inf(1), 40}}
	for share, want := range map[float64]float64{0.25: 2, 0.5: 3, 0.75: 4, 0.99: 4, 1: 4, 0.125: 1.5} {
		if got := h.quantile(share); got != want {
			t.Errorf("%v: got %v, want %v", share, got, want)
		}
	}
	if got := (histogram{}).quantile(0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	if h.total() != 40 || (histogram{}).total() != 0 {
		t.Errorf("total %v", h.total())
	}
}

const shown = `# HELP scope_pending_bytes Bytes.
# TYPE scope_pending_bytes gauge
scope_pending_bytes 1.5e+06
scope_reports_received_total{user="a"} 2
scope_reports_received_total{user="b} le=\"7\""} 3
scope_flush_duration_seconds_bucket{method="Commit",status_code="200",le="0.005"} 1
scope_flush_duration_seconds_bucket{method="Commit",status_code="500",le="0.005"} 1
scope_flush_duration_seconds_bucket{method="Commit",status_code="200",le="+Inf"} 4
scope_flush_duration_seconds_bucket{method="Put",status_code="200",le="+Inf"} 9
scope_flush_duration_seconds_count{method="Commit",status_code="200"} 4
scope_flush_duration_seconds_count{method="Put",status_code="200"} 9
scope_pending_bytes_more 7
other 1
`

func TestReadMetrics(t *testing.T) {
	t.Parallel()
	m, err := readMetrics(strings.NewReader(shown))
	if err != nil {
		t.Fatal(err)
	}
	if m.get("scope_pending_bytes") != 1.5e6 || m.get("scope_reports_received_total") != 5 || m.get("other") != 0 {
		t.Errorf("got %v", m)
	}
	if steps := strings.Join(m.steps(), " "); steps != "Commit Put" {
		t.Errorf("steps %q", steps)
	}
	before := metrics{{"scope_flush_duration_seconds_bucket", "Commit", 0.005}: 1}
	if h := m.flushes("Commit", before); len(h) != 2 || h[0] != (bin{0.005, 1}) || !math.IsInf(h[1].upTo, 1) || h[1].count != 4 {
		t.Errorf("flushes %v", h)
	}
	if _, err := readMetrics(strings.NewReader("scope_pending_bytes x\n")); err == nil {
		t.Error("a line that is none is read")
	}
}

func TestLatencies(t *testing.T) {
	t.Parallel()
	var l latencies
	for i := range 4 {
		l.add(time.Duration(4-i), nil)
	}
	l.add(1, &statusError{503, "full"})
	l.add(1, &statusError{503, "still full"})
	l.add(1, errors.New("refused"))
	got := l.sum()
	if got.Count != 4 || got.P50 != 2 || got.P99 != 4 || got.Max != 4 || got.failures() != 3 {
		t.Errorf("got %+v", got)
	}
	if got.Failed["503"] != 2 || got.Failed["no answer"] != 1 || got.Reasons["503"] != "status 503: full" {
		t.Errorf("failed %v: %v", got.Failed, got.Reasons)
	}
}

// every returns samples with the given RSS, a minute apart.
func every(rss ...int64) (samples []Sample) {
	for i, n := range rss {
		samples = append(samples, Sample{At: time.Duration(i) * time.Minute, RSS: n})
	}
	return samples
}

func TestGrowth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		samples []Sample
		want    float64
	}{
		{nil, 0}, {every(5), 0}, {every(100, 110), 0.1}, {every(1, 100, 100, 100, 100), 0},
		{every(100, 200, 200, 200, 300), 0.5}, {every(100, 100, 90), -0.1},
	} {
		if got := growth(c.samples, flatOver); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v: got %v, want %v", c.samples, got, c.want)
		}
	}
}

func TestMinutes(t *testing.T) {
	t.Parallel()
	var samples []Sample
	for s := range 15 {
		samples = append(samples, Sample{At: time.Duration(s*10+1) * time.Second})
	}
	got := minutes(samples)
	want := []time.Duration{time.Second, 61 * time.Second, 121 * time.Second, 141 * time.Second}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i, s := range got {
		if s.At != want[i] {
			t.Errorf("%d: at %v, want %v", i, s.At, want[i])
		}
	}
}

func TestSparkline(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		width  int
		want   string
	}{
		{nil, 5, ""}, {[]float64{0, 0}, 5, "▁▁"}, {[]float64{1, 2, 3, 4, 5, 6, 7, 8}, 8, "▂▃▄▅▆▇██"},
		{[]float64{8, 1, 1, 1}, 2, "█▂"}, {[]float64{1, 1, 1, 1, 8}, 2, "▂█"},
	} {
		if got := sparkline(c.values, c.width); got != c.want {
			t.Errorf("%v: got %s, want %s", c.values, got, c.want)
		}
	}
}

func TestFigures(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{0: "0s", 123: "123ns", 4_730_123: "4.73ms", 14_690_000: "14.7ms",
		795_400_000: "795ms", 1_023_000_000: "1.02s", 75_400_000_000: "1m15.4s", 3 * time.Hour: "3h0m0s"} {
		if got := short(d); got != want {
			t.Errorf("%d: got %s, want %s", d, got, want)
		}
	}
}
