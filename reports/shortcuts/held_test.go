package shortcuts

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/timeblob/timeblob/reports/report"
)

// TestShortcutSuperseded says which report ends a shortcut of host h1.
func TestShortcutSuperseded(t *testing.T) {
	t.Parallel()
	stamped := func(r *report.Report, ts time.Time) *report.Report { r.TS = ts; return r }
	pod := report.New()
	pod.Topologies[report.Pod].Nodes = []*report.Node{{ID: "p", Latest: report.ValuesOf(report.Latest{Key: "control_probe_id", Value: "probe-h1"})}}
	child := report.New()
	child.Topologies[report.Process].Nodes = []*report.Node{{ID: "p", Parents: []report.StringSet{{Key: "host", Values: []string{"h0;<host>", "h1;<host>"}}}}}
	for name, c := range map[string]struct {
		shortcut      *report.Report
		shortcutProbe string
		r             *report.Report
		probe         string
		after         time.Duration
		gone          bool
	}{
		"same host":                      {cut("c"), "", hosts("h1"), "", 0, true},
		"same host by a node":            {cut("c"), "", container("x", "h1"), "", 0, true},
		"same host by a parent":          {cut("c"), "", child, "", 0, true},
		"same probe by header":           {cut("c"), "p9", report.New(), "p9", 0, true},
		"same probe by a pod":            {cut("c"), "probe-h1", pod, "", 0, true},
		"other host":                     {cut("c"), "", hosts("h2"), "", 0, false},
		"other host, its window is over": {cut("c"), "", hosts("h2"), "", 15 * time.Second, true},
		"other probe":                    {cut("c"), "p9", hosts("h2"), "p8", 0, false},
		"nobody known":                   {cut("c"), "", report.New(), "", 0, false},
		"made before":                    {stamped(cut("c"), noon), "", stamped(hosts("h1"), noon.Add(-1)), "", 0, false},
		"made at the same time":          {stamped(cut("c"), noon), "", stamped(hosts("h1"), noon), "", 0, true},
		"made some time":                 {stamped(cut("c"), noon), "", stamped(hosts("h1"), time.Time{}), "", 0, true},
		"another shortcut":               {cut("c"), "", cut("c"), "", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, nil, nil)
			f.add(t, "a", c.shortcut, c.shortcutProbe)
			f.add(t, "b", c.r, c.probe) // of another tenant: ends nothing
			if len(f.store.held("a", noon)) != 1 {
				t.Fatal("gone at once")
			}
			f.clock.Advance(c.after)
			f.add(t, "a", c.r, c.probe)
			if got := len(f.store.held("a", f.clock.Now())) == 0; got != c.gone {
				t.Errorf("gone: %v, want %v", got, c.gone)
			}
		})
	}
}

// TestShortcutBounds checks that shortcuts stay within their memory limit, and that released shortcuts free their share.
func TestShortcutBounds(t *testing.T) {
	t.Parallel()
	f := setup(t, nil, nil)
	for i := range 3 * maxShortcuts {
		f.add(t, "a", cut(fmt.Sprint(i)), "")
	}
	held := f.store.held("a", noon)
	if len(held) != maxShortcuts || held[0].Report.ID != fmt.Sprint(2*maxShortcuts) {
		t.Errorf("%d held, the oldest is %s", len(held), held[0].Report.ID)
	}
	fat := func(id string, size int) *report.Report {
		r := cut(id)
		r.Topologies[report.Container].Nodes[0].Adjacency = []string{strings.Repeat("x", size)}
		return r
	}
	f.add(t, "a", fat("too fat", maxTenantShortcutBytes+1), "")
	if n := testutil.ToFloat64(f.metrics.lost); n != 1 || len(f.store.held("a", noon)) != maxShortcuts {
		t.Errorf("one that is too large: %v lost, %d held", n, len(f.store.held("a", noon)))
	}
	f.add(t, "a", fat("fat", maxTenantShortcutBytes/2), "")
	f.add(t, "a", fat("fat too", maxTenantShortcutBytes*2/3), "")
	if held := f.store.held("a", noon); len(held) != 1 || held[0].Report.ID != "fat too" {
		t.Errorf("%d held beside one of two thirds", len(held))
	}
	for i := range 40 {
		f.add(t, fmt.Sprint("t", i), fat("fat", maxTenantShortcutBytes*2/3), "")
	}
	if f.store.bytes > maxShortcutBytes || f.store.bytes < maxShortcutBytes/2 {
		t.Errorf("%d bytes held", f.store.bytes)
	}
	f.store.expire(noon.Add(time.Minute))
	if f.store.bytes != 0 || len(f.store.tenants) != 0 {
		t.Errorf("%d bytes of %d tenants are left", f.store.bytes, len(f.store.tenants))
	}
}

// TestWaitOn checks that a tenant's shortcuts, and nothing else, signal its waiters,
// who need not listen.
func TestWaitOn(t *testing.T) {
	t.Parallel()
	f := setup(t, nil, nil)
	first, second, other, deaf := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
	signalled := func(want ...bool) {
		t.Helper()
		for i, c := range []chan struct{}{first, second, other} {
			select {
			case <-c:
				if !want[i] {
					t.Errorf("waiter %d was signalled", i)
				}
			default:
				if want[i] {
					t.Errorf("waiter %d was not signalled", i)
				}
			}
		}
	}
	f.UnWait("a", first) // who does not wait
	f.WaitOn("a", first)
	f.WaitOn("a", first)
	f.WaitOn("a", second)
	f.WaitOn("b", other)
	f.WaitOn("a", deaf)
	f.add(t, "a", hosts("h1"), "")
	signalled(false, false, false)
	f.add(t, "a", cut("c1"), "")
	f.add(t, "a", cut("c2"), "") // finds the buffers full
	signalled(true, true, false)
	f.UnWait("a", first)
	f.add(t, "a", cut("c3"), "")
	signalled(false, true, false)
	f.UnWait("a", second)
	f.UnWait("a", deaf)
	f.UnWait("b", other)
	if n := len(f.waiters.byTenant); n != 0 {
		t.Errorf("%d tenants are kept for nobody", n)
	}
}
