package shortcuts

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/logtest"
	"github.com/timeblob/timeblob/reports/internal/reportstest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

// waitOn waits for a tenant's shortcuts until the test ends.
func (f *fixture) waitOn(t testing.TB, tenant string) <-chan struct{} {
	t.Helper()
	c := make(chan struct{}, 1)
	if err := f.WaitOn(tenant, c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.UnWait(tenant, c) })
	return c
}

// sent and heard return how many shortcuts had a result.
func (f *fixture) sent(result string) int {
	return int(testutil.ToFloat64(f.metrics.sends.WithLabelValues(result)))
}

func (f *fixture) heard(result string) int {
	return int(testutil.ToFloat64(f.metrics.messages.WithLabelValues(result)))
}

func signalled(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestShortcutReachesOthers checks that a shortcut posted to one service signals who
// waits at another, is in the live answers of both under one key, until a
// report of the same host came there, and is not taken twice.
func TestShortcutReachesOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus, cache := new(reportstest.Bus), &tiered.MemTier{Overwrite: true}
		a, b := setup(t, bus, cache), setup(t, bus, cache)
		defer a.closed(t)
		defer b.closed(t)
		here, there, other := a.waitOn(t, "acme"), b.waitOn(t, "acme"), b.waitOn(t, "acme.eu")
		a.add(t, "acme", cut("c1"), "")
		if !signalled(here) {
			t.Error("who waits where it came is not signalled at once")
		}
		synctest.Wait()
		if !signalled(there) || signalled(here) || signalled(other) {
			t.Error("signalled: want just who waits for the tenant elsewhere, and here not again")
		}
		equal(t, b.live(t, "acme"), merged(t, cut("c1")))
		if n := containers(b.live(t, "acme.eu")); n != 0 {
			t.Error("another tenant sees it")
		}
		one, two := a.Held("acme"), b.Held("acme")
		if len(one) != 1 || len(two) != 1 || one[0].Key != two[0].Key {
			t.Fatalf("held %v and %v", one, two)
		}
		if a.sent(resultCarried) != 1 || a.heard(resultKnown) != 1 || b.heard(resultCarried) != 1 {
			t.Errorf("counted %d sent, %d known, %d heard", a.sent(resultCarried), a.heard(resultKnown), b.heard(resultCarried))
		}
		b.add(t, "acme", hosts("h1"), "")
		if n := len(b.Held("acme")); n != 0 {
			t.Error("it is not superseded")
		}
		bus.Say(t, "acme", one[0].Key)
		if len(b.Held("acme")) != 0 || b.heard(resultKnown) != 1 {
			t.Error("it is held again after it was superseded")
		}
	})
}

// TestShortcutKeys checks that each shortcut has a key of its own, of its tenant and
// about the instant it came, whatever the clock does.
func TestShortcutKeys(t *testing.T) {
	t.Parallel()
	f := setup(t, nil, nil)
	for i := range 10 {
		f.add(t, "a", cut(fmt.Sprint(i)), "")
		f.add(t, "b", cut(fmt.Sprint(i)), "")
	}
	keys := map[string]bool{}
	for _, tenant := range []string{"a", "b"} {
		for i, s := range f.Held(tenant) {
			at, err := index.ParseBlobKey(s.Key)
			if want := noon.UnixNano() + int64(i); err != nil || at != want || s.Key != index.RowAt(tenant, at).BlobKey(at) {
				t.Errorf("key %s of tenant %s: %v", s.Key, tenant, err)
			}
			keys[s.Key] = true
		}
	}
	if len(keys) != 20 {
		t.Errorf("%d keys of 20 shortcuts", len(keys))
	}
}

// keyAt returns the key of a tenant's blob so long after noon.
func keyAt(tenant string, after time.Duration) string {
	t := noon.Add(after).UnixNano()
	return index.RowAt(tenant, t).BlobKey(t)
}

// message is what may be said on the subject of tenant a.
type message struct {
	said   string
	blob   []byte // under said, and under a's key of noon
	result string
	shown  int
}

// messages returns one of each kind.
func messages(t *testing.T) map[string]message {
	key := keyAt("a", 0)
	huge := cut("c")
	huge.Topologies[report.Container].Nodes[0].Adjacency = []string{strings.Repeat("x", maxCarried+1)}
	fat := cut("c")
	fat.Topologies[report.Container].Nodes[0].Adjacency = []string{strings.Repeat("x", maxTenantShortcutBytes+1)}
	empty, invalid := report.New(), report.New()
	empty.Shortcut, invalid.Shortcut = true, true
	invalid.Window = -1
	return map[string]message{
		"a shortcut":           {key, encode(t, cut("c")), resultCarried, 1},
		"an old one":           {keyAt("a", -24*time.Hour), nil, resultAbsent, 0},
		"nothing":              {"", nil, resultForeign, 0},
		"no key":               {"hello", nil, resultForeign, 0},
		"1 MB":                 {strings.Repeat("x", 1<<20), nil, resultForeign, 0},
		"another tenant's key": {keyAt("b", 0), encode(t, cut("c")), resultForeign, 0},
		"the single tenant's":  {keyAt("", 0), encode(t, cut("c")), resultForeign, 0},
		"of another hour":      {key[:32] + keyAt("a", 2*time.Hour)[32:], encode(t, cut("c")), resultForeign, 0},
		"upper case":           {strings.ToUpper(key), encode(t, cut("c")), resultForeign, 0},
		"a newline":            {key + "\r\n", encode(t, cut("c")), resultForeign, 0},
		"a plus":               {strings.Replace(key, "/", "/+", 1), encode(t, cut("c")), resultForeign, 0},
		"no blob":              {key, nil, resultAbsent, 0},
		"no gzip":              {key, []byte("hello"), resultRefused, 0},
		"half a blob":          {key, encode(t, cut("c"))[:100], resultRefused, 0},
		"no report":            {key, gzipped(t, []byte("hello")), resultRefused, 0},
		"a regular report":     {key, encode(t, hosts("h1")), resultRefused, 0},
		"a bomb":               {key, gzipped(t, make([]byte, maxCarried+1)), resultRefused, 0},
		"an empty shortcut":    {key, encode(t, empty), resultCarried, 1},
		"an invalid one":       {key, encode(t, invalid), resultRefused, 0},
		"a huge node":          {key, encode(t, huge), resultRefused, 0},
		"one too large":        {key, encode(t, fat), resultLost, 0},
	}
}

// TestMessages sends each kind of message. Every message answers waiting clients; only the tenant's shortcuts are shown.
func TestMessages(t *testing.T) {
	t.Parallel()
	for name, c := range messages(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				bus, cache := new(reportstest.Bus), &tiered.MemTier{Overwrite: true}
				f := setup(t, bus, cache)
				defer f.closed(t)
				waiter := f.waitOn(t, "a")
				if c.blob != nil {
					if err := errors.Join(cache.Put(t.Context(), keyAt("a", 0), c.blob), cache.Put(t.Context(), c.said, c.blob)); err != nil {
						t.Fatal(err)
					}
				}
				bus.Say(t, "a", c.said)
				if n := f.heard(c.result); n != 1 || !signalled(waiter) {
					t.Errorf("%d counted as %s", n, c.result)
				}
				if n := len(f.Held("a")); n != c.shown {
					t.Errorf("%d shown", n)
				}
				if got := f.live(t, "a"); c.shown == 0 && report.Summary(got) != "" {
					t.Errorf("live: %s", report.Summary(got))
				}
			})
		})
	}
}

// TestFaultsAreCounted checks that whatever fails on the way to other services, the
// post succeeds at once, what can be told is told, and it is counted.
func TestFaultsAreCounted(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		fault  func(bus *reportstest.Bus, cache *faulttest.Tier)
		result string
		signal bool
	}{
		"none":             {func(*reportstest.Bus, *faulttest.Tier) {}, resultCarried, true},
		"the cache fails":  {func(_ *reportstest.Bus, c *faulttest.Tier) { c.Inject(faulttest.Fault{Op: faulttest.Put, Err: broken}) }, resultCacheFailed, true},
		"the cache hangs":  {func(_ *reportstest.Bus, c *faulttest.Tier) { c.Inject(faulttest.Fault{Op: faulttest.Put, Hang: true}) }, resultCacheFailed, true},
		"the bus fails":    {func(b *reportstest.Bus, _ *faulttest.Tier) { b.Fail(reportstest.Faults{Publish: broken}) }, resultBusFailed, false},
		"the bus hangs":    {func(b *reportstest.Bus, _ *faulttest.Tier) { b.Fail(reportstest.Faults{Hang: true}) }, resultBusFailed, false},
		"a get that fails": {func(_ *reportstest.Bus, c *faulttest.Tier) { c.Inject(faulttest.Fault{Op: faulttest.Get, Err: broken}) }, resultCarried, true},
		"a get that hangs": {func(_ *reportstest.Bus, c *faulttest.Tier) { c.Inject(faulttest.Fault{Op: faulttest.Get, Hang: true}) }, resultCarried, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				bus, cache := new(reportstest.Bus), faulttest.NewTier(&tiered.MemTier{Overwrite: true}, 1)
				a, b := setup(t, bus, cache), setup(t, bus, cache)
				defer a.closed(t)
				defer b.closed(t)
				waiter := b.waitOn(t, "a")
				c.fault(bus, cache)
				begun := time.Now()
				a.add(t, "a", cut("c"), "")
				if took := time.Since(begun); took != 0 {
					t.Errorf("the post waited %v", took)
				}
				time.Sleep(2 * carryLimit)
				synctest.Wait()
				if a.sent(c.result) != 1 || signalled(waiter) != c.signal {
					t.Errorf("%d counted as %s", a.sent(c.result), c.result)
				}
				if get := strings.HasPrefix(name, "a get"); get && b.heard(resultCacheFailed) != 1 {
					t.Error("the failure was not counted where it happened")
				}
				bus.Fail(reportstest.Faults{})
				cache.Heal()
				a.add(t, "a", cut("d"), "")
				synctest.Wait()
				if !signalled(waiter) || containers(b.live(t, "a")) < 1 {
					t.Error("the next one is not shown when all is well again")
				}
			})
		})
	}
}

// TestTooMany checks that when nothing gets through, posts go on, what waits is
// bounded and the rest counted; and Close waits a second at most.
func TestTooMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus, cache := new(reportstest.Bus), faulttest.NewTier(&tiered.MemTier{Overwrite: true}, 1)
		f := setup(t, bus, cache)
		waiter := f.waitOn(t, "a")
		cache.Inject(faulttest.Fault{Hang: true})
		bus.Fail(reportstest.Faults{Hang: true})
		begun := time.Now()
		const n = 1000
		for i := range n {
			f.add(t, "a", cut(fmt.Sprint(i)), "")
			f.receive("a", []byte(keyAt("a", time.Hour+time.Duration(i)))) // which nobody knows
			f.clock.Advance(1)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("the posts waited %v", took)
		}
		synctest.Wait()
		if sent, heard := f.sent(resultDropped), f.heard(resultDropped); sent != n-parallel-maxUnsent || heard != n-parallel-maxUnfetched {
			t.Errorf("%d dropped, and %d messages", sent, heard)
		}
		if !signalled(waiter) || len(f.Held("a")) != maxShortcuts {
			t.Errorf("here %d are shown", len(f.Held("a")))
		}
		f.closed(t)
		if took := time.Since(begun); took > carryLimit {
			t.Errorf("Close took %v", took)
		}
		if n := f.unsentBytes(); n != 0 {
			t.Errorf("%d bytes are counted as unsent", n)
		}
	})
}

// unsentBytes returns the bytes that wait to be sent, found by trying how many
// more may wait.
func (f *fixture) unsentBytes() int64 {
	return int64(sort.Search(maxUnsentSize, func(used int) bool {
		free := int64(maxUnsentSize - used)
		if !f.unsent.TryAcquire(free) {
			return false
		}
		f.unsent.Release(free)
		return true
	}))
}

// TestUnsentBytes checks that what waits to be sent is bounded in bytes, too, and
// what no service could hold is signalled alone.
func TestUnsentBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus, cache := new(reportstest.Bus), faulttest.NewTier(&tiered.MemTier{Overwrite: true}, 1)
		f := setup(t, bus, cache)
		defer f.closed(t)
		cache.Inject(faulttest.Fault{Hang: true})
		fat := func(size int) *report.Report {
			r := cut("fat")
			r.Topologies[report.Container].Nodes[0].Adjacency = []string{strings.Repeat("x", size)}
			return r
		}
		for range 10 {
			f.add(t, "a", fat(maxTenantShortcutBytes/2), "")
		}
		if n := f.unsentBytes(); n > maxUnsentSize || n < maxUnsentSize/2 {
			t.Errorf("%d bytes wait", n)
		}
		if n := f.sent(resultDropped); n != 3 {
			t.Errorf("%d dropped", n)
		}
		time.Sleep(10 * carryLimit)
		synctest.Wait()
		f.add(t, "a", fat(maxTenantShortcutBytes+1), "")
		synctest.Wait()
		if f.sent(resultSignal) != 1 || f.unsentBytes() != 0 {
			t.Errorf("%d signalled alone, %d bytes wait", f.sent(resultSignal), f.unsentBytes())
		}
	})
}

// TestWithoutCache checks that keys alone signal who waits.
func TestWithoutCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus := new(reportstest.Bus)
		a, b := setup(t, bus, nil), setup(t, bus, nil)
		defer a.closed(t)
		defer b.closed(t)
		waiter := b.waitOn(t, "a")
		a.add(t, "a", cut("c"), "")
		synctest.Wait()
		if !signalled(waiter) || a.sent(resultSignal) != 1 || b.heard(resultSignal) != 1 || containers(b.live(t, "a")) != 0 {
			t.Errorf("%d sent, %d heard", a.sent(resultSignal), b.heard(resultSignal))
		}
	})
}

// TestComplaints checks that failures are logged, at most once a second.
func TestComplaints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		said := new(logtest.Journal)
		bus := new(reportstest.Bus)
		bus.Fail(reportstest.Faults{Publish: errors.New("broken")})
		f := logged(t, bus, said)
		defer f.closed(t)
		for range 25 { // in 2.4 s
			f.add(t, "a", cut("c"), "")
			synctest.Wait()
			time.Sleep(100 * time.Millisecond)
		}
		if n := said.Lines("shortcut not sent to other services"); n != 3 || said.Lines("err=broken") != 3 {
			t.Errorf("%d lines: %s", n, said)
		}
	})
}
