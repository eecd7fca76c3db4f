package s3blob_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/internal/httpfault"
	"github.com/timeblob/timeblob/s3blob"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

// jittery is a tier on a server that takes 5 to 15 ms.
func jittery(t *testing.T, opts s3blob.Options) fixture {
	server := &jitter{base: newFake(), random: rand.New(rand.NewPCG(1, 2))}
	return open(t, nowhere, server, opts)
}

// latencies reads a key n times and returns how long each took, sorted.
func latencies(t *testing.T, f fixture, want map[string][]byte, n int) []time.Duration {
	t.Helper()
	took := make([]time.Duration, 0, n)
	for range n {
		begin := time.Now()
		got, err := tiertest.Found(t.Context(), f, keysOf(want))
		if err != nil || same(got, want) != nil {
			t.Fatalf("Get: %v, %v", err, same(got, want))
		}
		took = append(took, time.Since(begin))
		if n := f.faults.Busy(); n != 0 {
			t.Fatalf("%d requests are still under way", n)
		}
	}
	slices.Sort(took)
	return took
}

// TestHedge reads from a server where three GETs of a hundred take a second:
// with hedges the 99th percentile falls from that to tens of milliseconds,
// within the budget, and losers are called off.
func TestHedge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		hedge       float64
		least, most time.Duration // the 99th percentile
	}{
		{"off", 0, time.Second, 1020 * time.Millisecond},
		{"on", 0.1, 5 * time.Millisecond, 40 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T) {
				registry := prometheus.NewRegistry()
				f := jittery(t, s3blob.Options{Hedge: c.hedge, Registerer: registry})
				want := blobs(1, 1000)
				mustPut(t, f, want)
				latencies(t, f, want, 200) // to know the percentile, and for credit
				f.faults.Inject(httpfault.Fault{Match: isGet, Chance: 0.03, Delay: time.Second})
				all := f.faults.Inject(httpfault.Fault{Match: isGet})
				slow := latencies(t, f, want, 3000)
				if p99 := slow[2970]; p99 < c.least || p99 > c.most {
					t.Errorf("99th percentile %v, want %v to %v", p99, c.least, c.most)
				}
				won := counter(t, registry, "timeblob_s3_hedges_total", "won")
				lost := counter(t, registry, "timeblob_s3_hedges_total", "lost")
				if hedged := won + lost; hedged > c.hedge*3200 || c.hedge > 0 && won < 60 {
					t.Errorf("%v hedges won and %v lost of 3200 GETs", won, lost)
				}
				t.Logf("p50 %v, p99 %v, %v won, %v lost, %d GETs", slow[1500], slow[2970], won, lost, all.Seen())
			})
		})
	}
}

// TestHedgeBudget reads from a server that became slow for everybody: hedges
// would double its load, but stay within the budget.
func TestHedgeBudget(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T) {
		f := jittery(t, s3blob.Options{Hedge: 0.05, Parallel: 2})
		want := blobs(1, 1000)
		mustPut(t, f, want)
		count := f.faults.Inject(httpfault.Fault{Match: isGet})
		latencies(t, f, want, 500)
		if n := count.Seen(); n > 525 {
			t.Errorf("500 GETs made %d requests", n)
		}
		f.faults.Heal()
		slow := f.faults.Inject(httpfault.Fault{Match: isGet, Delay: time.Second})
		latencies(t, f, want, 100)
		if n := slow.Seen(); n > 100+10+5 { // ten saved up, and five earned
			t.Errorf("100 slow GETs made %d requests", n)
		}
		two := blobs(2, 100)
		mustPut(t, f, two)
		if took := latencies(t, f, two, 1)[0]; took > 1100*time.Millisecond {
			t.Errorf("two GETs of a second took %v: a hedge that was refused kept its place", took)
		}
	})
}

// TestHedgeAfterErrors has first GETs, or hedges, fail while the other goes
// well. A hedge is not retried.
func TestHedgeAfterErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		first, second httpfault.Fault
	}{
		{"the first fails", httpfault.Fault{Status: 403}, httpfault.Fault{Delay: 60 * time.Millisecond}},
		{"the hedge fails", httpfault.Fault{}, httpfault.Fault{Status: 503}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T) {
				f := jittery(t, s3blob.Options{Hedge: 0.5})
				want := blobs(1, 1000)
				mustPut(t, f, want)
				latencies(t, f, want, 100)
				c.first.Times, c.second.Times = 1, 1
				c.first.Delay = 60 * time.Millisecond
				f.faults.Inject(c.first)
				hedge := f.faults.Inject(c.second)
				more := f.faults.Inject(httpfault.Fault{})
				latencies(t, f, want, 1)
				if hedge.Hit() != 1 || more.Hit() != 0 {
					t.Errorf("%d hedges and %d more requests, want one hedge", hedge.Hit(), more.Hit())
				}
			})
		})
	}
}

// TestHedgeFailsToo has both GETs fail: the error is that of the first, which
// had its retries, whichever comes last.
func TestHedgeFailsToo(t *testing.T) {
	t.Parallel()
	for first, hedge := range map[time.Duration]time.Duration{time.Second: 0, 60 * time.Millisecond: time.Second} {
		inBubble(t, func(t *testing.T) {
			f := jittery(t, s3blob.Options{Hedge: 0.5})
			want := blobs(1, 1000)
			mustPut(t, f, want)
			latencies(t, f, want, 100)
			f.faults.Inject(httpfault.Fault{Times: 1, Delay: first, Status: 403})
			f.faults.Inject(httpfault.Fault{Times: 1, Delay: hedge, Status: 405})
			if _, err := tiertest.Found(t.Context(), f, keysOf(want)); err == nil || !contains(err, "403") {
				t.Errorf("first after %v, hedge after %v: %v, want the first's 403", first, hedge, err)
			}
		})
	}
}

// TestHedgeTakesAPlace has no place for a hedge: none is sent.
func TestHedgeTakesAPlace(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		f := jittery(t, s3blob.Options{Hedge: 0.5, Parallel: 1, Registerer: registry})
		want := blobs(1, 1000)
		mustPut(t, f, want)
		latencies(t, f, want, 100)
		slow := f.faults.Inject(httpfault.Fault{Match: isGet, Delay: time.Second})
		latencies(t, f, want, 10)
		if n := counter(t, registry, "timeblob_s3_hedges_total", "refused"); slow.Seen() != 10 || f.faults.Peak() != 1 || n < 10 {
			t.Errorf("10 GETs made %d requests, %d at a time, and %v hedges were refused", slow.Seen(), f.faults.Peak(), n)
		}
	})
}

// TestHedgeOfAbsent takes a hedge's word that there is no such key.
func TestHedgeOfAbsent(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T) {
		f := jittery(t, s3blob.Options{Hedge: 0.5})
		want := blobs(1, 1000)
		mustPut(t, f, want)
		latencies(t, f, want, 100)
		f.faults.Inject(httpfault.Fault{Match: isGet, Times: 1, Delay: 5 * time.Second})
		begin := time.Now()
		got, err := tiertest.Found(t.Context(), f, []string{"absent"})
		if took := time.Since(begin); err != nil || len(got) != 0 || took > 100*time.Millisecond {
			t.Errorf("%d blobs and %v after %v", len(got), err, took)
		}
	})
}
