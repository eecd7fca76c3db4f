package httpapi

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/alloctest"
	"github.com/timeblob/timeblob/internal/racetest"
	"github.com/timeblob/timeblob/reports"
)

// discarding and discardingIndex accept everything and keep nothing, so that the memory in use is the collector's.
type discarding struct{}

func (discarding) Put(context.Context, string, []byte) error { return nil }

func (discarding) Get(_ context.Context, keys []string) ([][]byte, error) {
	return make([][]byte, len(keys)), nil
}

type discardingIndex struct{}

func (discardingIndex) Put(context.Context, index.Row, index.Entry) error { return nil }

func (discardingIndex) Query(context.Context, index.Row, int64, int64) ([]index.Entry, error) {
	return nil, nil
}

// maxTenantSeries is how many tenants have metrics of their own.
const maxTenantSeries = 10_000

// TestManyTenantsSeenOnce lets 100 000 tenants come by once. When they have been
// idle for a while nothing is held of them, and memory is what it was before.
func TestManyTenantsSeenOnce(t *testing.T) {
	all, crowdSize := 100_000, maxTenantSeries+1000
	if racetest.Enabled { // which takes 20 times as long, and memory of its own
		all, crowdSize = 4000, 1000
	}
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{registry: prometheus.NewRegistry()}
		var err error
		if f.Collector, err = reports.New(discardingIndex{}, discarding{}, &reports.Options{Registerer: f.registry}); err != nil {
			t.Fatal(err)
		}
		if f.handler, err = New(f.Collector, &Options{TenantHeader: orgHeader, Registerer: f.registry, Gatherer: f.registry}); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- f.Run(t.Context()) }()
		v := &visitors{f: f, regular: encode(t, hosts("h1")), shortcut: encode(t, cut("c1"))}
		v.come(t, 0, crowdSize) // makes what is made once: pools, and series for all who get one
		before := alloctest.Heap()
		v.come(t, crowdSize, all)
		if grown := alloctest.Heap() - before; !racetest.Enabled {
			if t.Logf("%d kB of %d tenants are left in memory", grown>>10, all-crowdSize); grown > 512<<10 {
				t.Error("that is too much")
			}
		}
		if err := f.Close(t.Context()); err != nil {
			t.Error(err)
		}
		<-done
	})
}

// visitors are tenants that come by once.
type visitors struct {
	f                 *fixture
	regular, shortcut []byte
}

// come lets some tenants post, be refused and ask, waits until they are idle,
// and checks that nothing is held of them.
func (v *visitors) come(t *testing.T, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		tenant, body := fmt.Sprintf("%s: tenant-%06d", orgHeader, i), v.regular
		if i%2 == 0 {
			body = v.shortcut
		}
		v.f.post(t, body, tenant)
		if w := v.f.serve("POST", "/api/report", nil, tenant); w.Code != 400 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if i%10 < 2 {
			v.f.serve("GET", "/api/report", nil, tenant)
		}
	}
	v.wantHeld(t, to-from)
	time.Sleep(20 * time.Minute)
	synctest.Wait()
	v.wantHeld(t, 0)
}

// wantHeld checks of how many tenants something is held. Half of them sent a
// shortcut, which makes no live tenant.
func (v *visitors) wantHeld(t *testing.T, n int) {
	t.Helper()
	series := func(name string) int {
		got, err := testutil.GatherAndCount(v.f.registry, "scope_"+name)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for what, got := range map[string][2]int{
		"live":     {len(v.f.Tenants()), n / 2},
		"refused":  {series("reports_refused_total"), min(n, maxTenantSeries+1)},
		"received": {series("reports_received_total"), min(n, maxTenantSeries+1)},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %d are held, want %d", what, got[0], got[1])
		}
	}
}
