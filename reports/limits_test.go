package reports

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/tenants"
)

// TestDefaultRate checks that by default a tenant may be of 3000 probes, and no limit
// is none.
func TestDefaultRate(t *testing.T) {
	t.Parallel()
	for limit, want := range map[float64]int{0: 2000, -1: 5000, 0.001: 1} {
		f := setup(t, func(o *Options) { o.TenantRate = limit })
		taken := 0
		for range 5000 {
			if f.rates.reserve("a") == 0 {
				taken++
			}
		}
		if taken != want {
			t.Errorf("limit %v: %d at once, want %d", limit, taken, want)
		}
	}
}

// TestIdleRatesAreLetGo checks that however many tenants post once, little is held of
// them, and nothing is forgiven.
func TestIdleRatesAreLetGo(t *testing.T) {
	t.Parallel()
	parsed, err := tenants.Parse(strings.NewReader("slow rate=0.5"))
	if err != nil {
		t.Fatal(err)
	}
	f := setup(t, func(o *Options) { o.Tenants = func() *tenants.Table { return parsed } })
	if f.rates.reserve("slow") != 0 || f.rates.reserve("slow") == 0 {
		t.Fatal("the rate does not hold")
	}
	for i := range 100_000 {
		f.clock.Advance(10 * time.Microsecond)
		if f.rates.reserve(fmt.Sprint("t", i)) != 0 {
			t.Fatal("a first report was refused")
		}
		if n := len(f.rates.limiters); n > fewRates {
			t.Fatalf("%d tenants are held", n)
		}
	}
	if f.rates.reserve("slow") == 0 {
		t.Error("a tenant over its limit was forgotten")
	}
	f.clock.Advance(time.Second)
	f.rates.forgetIdle()
	if n := len(f.rates.limiters); n > 0 {
		t.Errorf("%d tenants are held in the end", n)
	}
}

// TestManyBusyRates checks that tenants that are not idle are held, however many.
func TestManyBusyRates(t *testing.T) {
	t.Parallel()
	f := setup(t, func(o *Options) { o.TenantRate = 0.01 })
	for i := range 3 * fewRates {
		f.rates.reserve(fmt.Sprint("t", i))
	}
	for i := range 3 * fewRates {
		if f.rates.reserve(fmt.Sprint("t", i)) == 0 {
			t.Fatalf("t%d was forgotten", i)
		}
	}
	f.clock.Advance(100 * time.Second)
	f.rates.forgetIdle()
	if n := len(f.rates.limiters); n > 0 || f.rates.most != fewRates {
		t.Errorf("%d tenants are held in the end, up to %d", n, f.rates.most)
	}
}

// TestRefusedSeries checks that the series of refused reports are bounded, and idle
// tenants lose theirs.
func TestRefusedSeries(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	for i := range maxTenantSeries + 100 {
		for _, reason := range []string{RefusedRate, RefusedSize, ""} {
			f.metrics.countRefused(fmt.Sprint("t", i), reason)
		}
	}
	if n := testutil.CollectAndCount(f.metrics.refused); n != 2+2*maxTenantSeries {
		t.Errorf("%d series", n)
	}
	if n := testutil.ToFloat64(f.metrics.refused.WithLabelValues(otherTenants, RefusedRate)); n != 100 {
		t.Errorf("%v counted for other tenants", n)
	}
	f.clock.Advance(10 * time.Minute)
	f.metrics.forgetIdle()
	if n := testutil.CollectAndCount(f.metrics.refused); n != 0 {
		t.Errorf("%d series are left", n)
	}
}

// TestConflictsCounted checks that nodes that copies disagree about are counted.
func TestConflictsCounted(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	for _, topology := range []string{"pod", "container"} {
		r := container("c1", "h1")
		r.Topologies[report.Container].Nodes[0].Topology = topology
		f.add(t, "", r, "")
	}
	if n := containers(f.answer(t, "")); n != 2 {
		t.Errorf("%d copies", n)
	}
	if n := testutil.ToFloat64(f.metrics.conflicts); n == 0 {
		t.Error("none counted")
	}
}

// TestIdleTenants checks that tenants that went idle leave no metrics, and however
// many come at once, the series are bounded.
func TestIdleTenants(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	m := f.metrics
	for i := range maxTenantSeries + 100 {
		m.countReceived(fmt.Sprint("t", i), 1, false)
	}
	m.countDropped("t0", []string{"process", "pod"})
	m.countDropped("t1", nil)
	if n := testutil.CollectAndCount(m.received); n != maxTenantSeries+1 {
		t.Errorf("%d series", n)
	}
	if n := testutil.ToFloat64(m.received.WithLabelValues(otherTenants)); n != 100 {
		t.Errorf("%v counted for other tenants", n)
	}
	f.clock.Advance(9 * time.Minute)
	m.countReceived("t5", 1, true)
	f.clock.Advance(9 * time.Minute)
	m.forgetIdle()
	for name, n := range map[string]int{
		"received": testutil.CollectAndCount(m.received), "bytes": testutil.CollectAndCount(m.receivedBytes),
		"shortcuts": testutil.CollectAndCount(m.shortcuts), "stored": testutil.CollectAndCount(m.stored),
		"stored bytes": testutil.CollectAndCount(m.storedBytes), "dropped": testutil.CollectAndCount(m.dropped) + 1, "tenants": len(m.tenants),
	} {
		if n != 1 {
			t.Errorf("%s: %d left, want 1", name, n)
		}
	}
	if n := testutil.ToFloat64(m.received.WithLabelValues("t5")); n != 2 {
		t.Errorf("t5, who is not idle, has %v", n)
	}
}
