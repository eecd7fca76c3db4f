package reports

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/internal/reportstest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

// TestPastWindows replays the corpus as it arrived and compares past windows
// with what Scope made of them.
func TestPastWindows(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	f.clock.Set(time.Unix(1795332860, 0))
	f.Collector, _ = New(f.index, f.authority, &Options{Now: f.clock.Now})
	var lines strings.Builder
	for _, c := range capturedReports(t, "hosts/*/*.msgpack.gz") {
		f.clock.Set(c.At)
		if err := f.Add(t.Context(), "acme", decode(t, c.Body), Origin{Body: c.Body}); err != nil {
			t.Fatal(err)
		}
		if err := f.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&lines, "%s  %s\n", human.Stamp(c.At), report.Summary(decode(t, c.Body)))
	}
	for _, golden := range goldentest.Files(t, "golden/hosts/windows/*.json.gz") {
		var end, seconds int64
		if _, err := fmt.Sscanf(filepath.Base(golden), "%d-%d.json.gz", &end, &seconds); err != nil {
			t.Fatal(err)
		}
		to := time.Unix(0, end)
		got, err := f.Range(t.Context(), "acme", to.Add(-time.Duration(seconds)*time.Second), to)
		if err != nil {
			t.Fatal(err)
		}
		sameJSON(t, asJSON(t, got), goldentest.Inflate(t, golden))
		if seconds == 15 {
			got, err = f.Report(t.Context(), "acme", to)
			if err != nil {
				t.Fatal(err)
			}
			sameJSON(t, asJSON(t, got), goldentest.Inflate(t, golden))
		}
	}
	found, err := f.Summary(t.Context(), "acme", time.Unix(1795332860, 0), time.Unix(1795332960, 0))
	var text strings.Builder
	for _, l := range found {
		fmt.Fprintf(&text, "%s  %s\n", human.Stamp(l.Time), l.Text)
	}
	all := text.String()
	if err != nil || all != lines.String() {
		t.Errorf("summary: %v\n%s\nwant\n%s", err, all, lines.String())
	}
	end := time.Unix(0, 1795332890932684457)
	some, err := f.AdminSummary(t.Context(), "acme", end)
	if n := strings.Count(some, "\n"); err != nil || n == 0 || n >= 60 || !strings.Contains(all, some) {
		t.Errorf("summary of a window: %v\n%s", err, some)
	}
}

// TestLive checks that a live answer is the merge of what came in within the
// window, whether it is stored or not, and the empty report when nothing did.
func TestLive(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	empty, err := f.Report(t.Context(), "acme", f.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, empty, report.New())
	var came []*report.Report
	for i, c := range capturedReports(t, "k8s-node/*.msgpack.gz") {
		came = append(came, decode(t, c.Body))
		if err := f.Add(t.Context(), "acme", came[i], Origin{}); err != nil {
			t.Fatal(err)
		}
		got, err := f.Report(t.Context(), "acme", f.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		equal(t, got, merged(t, came[max(0, i-5):]...))
		f.clock.Advance(3 * time.Second)
		if err := f.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 6 {
		f.clock.Advance(3 * time.Second)
		if err := f.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := f.Report(t.Context(), "acme", f.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, report.New())
	got, err = f.Report(t.Context(), "acme", noon.Add(16*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, merged(t, came[:5]...))
}

func TestHasReports(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	has := func(tenant string, at time.Time, want bool) {
		t.Helper()
		got, err := f.HasReports(t.Context(), tenant, at)
		if err != nil || got != want {
			t.Errorf("tenant %q at %v: %v %v, want %v", tenant, at, got, err, want)
		}
	}
	has("a", noon, false)
	if err := f.Add(t.Context(), "a", hosts("h1"), Origin{}); err != nil {
		t.Fatal(err)
	}
	has("a", noon, true)
	has("a", noon.Add(time.Hour), true) // future values are live
	has("b", noon, false)
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	has("a", noon, true)
	f.clock.Advance(time.Hour)
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	has("a", noon.Add(time.Hour), false)
	has("a", noon.Add(15*time.Second), true)
	has("a", noon.Add(15*time.Second+1), false)
	if !f.HasHistoricReports() || f.Window() != 15*time.Second {
		t.Errorf("historic %v, window %v", f.HasHistoricReports(), f.Window())
	}
	if _, err := f.HasReports(t.Context(), "a b", noon); !isA[*index.TenantError](err) {
		t.Errorf("bad tenant: %v", err)
	}
}

// TestCap checks that a topology over the limit is dropped and counted, the others
// stay.
func TestCap(t *testing.T) {
	t.Parallel()
	f := setup(t, func(o *Options) { o.MaxTopologyNodes = 2 })
	r := hosts("h1")
	for i := range 3 {
		r.Topologies[report.Process].Nodes = append(r.Topologies[report.Process].Nodes, &report.Node{ID: fmt.Sprintf("p%d", i)})
	}
	if err := f.Add(t.Context(), "a", r, Origin{Body: make([]byte, 7)}); err != nil {
		t.Fatal(err)
	}
	got, err := f.Report(t.Context(), "a", f.clock.Now())
	if err != nil || len(got.Topologies[report.Process].Nodes) != 0 || len(got.Topologies[report.Host].Nodes) != 1 {
		t.Errorf("%v: %s", err, report.Summary(got))
	}
	if len(r.Topologies[report.Process].Nodes) != 3 {
		t.Error("the report that was added has changed")
	}
	if n := testutil.ToFloat64(f.metrics.dropped.WithLabelValues("a", "process")); n != 1 {
		t.Errorf("dropped: %v", n)
	}
}

// TestUpgrade checks that old forms are upgraded when they come in, and when they
// are found in the store.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	for _, file := range goldentest.Files(t, "legacy/*.msgpack.gz") {
		name := strings.TrimSuffix(filepath.Base(file), ".msgpack.gz")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, nil)
			blob := goldentest.Read(t, file)
			want := upgraded(t, decode(t, blob))
			if err := f.Add(t.Context(), "live", decode(t, blob), Origin{}); err != nil {
				t.Fatal(err)
			}
			got, err := f.Report(t.Context(), "live", noon)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, got, want)

			row := index.RowAt("old", noon.UnixNano())
			key := row.BlobKey(noon.UnixNano())
			err = errors.Join(f.authority.Put(t.Context(), key, blob),
				f.index.Put(t.Context(), row, index.Entry{Time: noon.UnixNano(), Key: key}))
			if err != nil {
				t.Fatal(err)
			}
			if got, err = f.Range(t.Context(), "old", noon, noon.Add(1)); err != nil {
				t.Fatal(err)
			}
			equal(t, got, want)
		})
	}
}

func TestAddRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t, func(o *Options) { o.Live.MaxPending = 1 << 20 })
	big := hosts("h")
	big.Topologies[report.Host].Nodes[0].Adjacency = []string{strings.Repeat("x", 1<<20)}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		tenant string
		r      *report.Report
		is     func(error) bool
	}{
		"nil":       {t.Context(), "a", nil, isA[*InvalidError]},
		"tenant":    {t.Context(), "a b", hosts("h"), isA[*index.TenantError]},
		"full":      {t.Context(), "a", big, isA[*bucket.FullError]},
		"cancelled": {cancelled, "a", hosts("h"), func(err error) bool { return errors.Is(err, context.Canceled) }},
	} {
		if err := f.Add(c.ctx, c.tenant, c.r, Origin{}); !c.is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.Add(t.Context(), "a", hosts("h"), Origin{}); !errors.Is(err, bucket.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := f.Add(t.Context(), "a", cut("c1"), Origin{}); !errors.Is(err, bucket.ErrClosed) {
		t.Errorf("a shortcut after Close: %v", err)
	}
	if f.authority.Len() != 0 {
		t.Error("something that was refused is stored")
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	idx, authority := index.NewMemIndex(), new(tiered.MemTier)
	for name, fails := range map[string]func() (any, error){
		"no index":     func() (any, error) { return New(nil, authority, nil) },
		"no authority": func() (any, error) { return New(idx, nil, nil) },
		"idle":         func() (any, error) { return New(idx, authority, &Options{TenantIdle: -1}) },
		"inflated":     func() (any, error) { return New(idx, authority, &Options{MaxInflated: -1}) },
		"live": func() (any, error) {
			return New(idx, authority, &Options{Live: bucket.CollectorOptions[*report.Report]{Window: 1, Tick: time.Second}})
		},
		"store": func() (any, error) {
			return New(idx, authority, &Options{Store: tiered.Options[*report.Report]{Decoders: -1}})
		},
		"taken names": func() (any, error) {
			reg := prometheus.NewRegistry()
			reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "scope", Name: "reports_received_total", Help: "x"}))
			return New(idx, authority, &Options{Registerer: reg})
		},
	} {
		if _, err := fails(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestTwoInOneRegistry checks that collectors that share a registry count together.
func TestTwoInOneRegistry(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	for range 2 {
		f := setup(t, func(o *Options) { o.Registerer = reg })
		if err := f.Add(t.Context(), "a", hosts("h"), Origin{Body: make([]byte, 3)}); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := "# HELP scope_reports_received_bytes_total Bytes of the reports received, compressed.\n" +
		"# TYPE scope_reports_received_bytes_total counter\nscope_reports_received_bytes_total{user=\"a\"} 6\n"
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "scope_reports_received_bytes_total"); err != nil {
		t.Error(err)
	}
}

// TestStoreFaults checks that a blob that is lost, damaged or out of reach is an
// error, and no longer once it is back.
func TestStoreFaults(t *testing.T) {
	t.Parallel()
	faulty := faulttest.NewTier(new(tiered.MemTier), 1)
	clock := reportstest.NewClock()
	c, err := New(index.NewMemIndex(), faulty, &Options{Now: clock.Now, Store: tiered.Options[*report.Report]{Memory: -1}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Add(t.Context(), "a", hosts("h1"), Origin{}), c.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	ask := func() (got *report.Report, err error) {
		_, err = c.AdminSummary(t.Context(), "a", noon.Add(1))
		got, again := c.Range(t.Context(), "a", noon, noon.Add(1))
		if (err == nil) != (again == nil) {
			t.Errorf("summary: %v; range: %v", err, again)
		}
		return got, again
	}
	for name, fault := range map[string]faulttest.Fault{
		"failed": {Op: faulttest.Get, Err: errors.New("out of reach")}, "damaged": {Op: faulttest.Get, Corrupt: true},
	} {
		faulty.Inject(fault)
		if _, err := ask(); err == nil {
			t.Errorf("%s: no error", name)
		}
		faulty.Heal()
	}
	got, err := ask()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, hosts("h1"))
}

func TestLostBlob(t *testing.T) {
	t.Parallel()
	f := setup(t, func(o *Options) { o.Store.Memory = -1 })
	if err := errors.Join(f.Add(t.Context(), "a", hosts("h1"), Origin{}), f.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	key := index.RowAt("a", noon.UnixNano()).BlobKey(noon.UnixNano())
	if err := f.authority.Delete(t.Context(), []string{key}); err != nil {
		t.Fatal(err)
	}
	_, err := f.AdminSummary(t.Context(), "a", noon.Add(1))
	if m, ok := errors.AsType[*bucket.MissingError](err); !ok || m.Keys()[0] != key {
		t.Errorf("summary: %v", err)
	}
}

// TestCloseAgain checks that a Close that could not deliver says so and loses
// nothing; the next one does.
func TestCloseAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faulty := faulttest.NewTier(new(tiered.MemTier), 1)
		idx := index.NewMemIndex()
		c, err := New(idx, faulty, nil)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if err := c.Add(t.Context(), "a", hosts("h1"), Origin{}); err != nil {
			t.Fatal(err)
		}
		faulty.Inject(faulttest.Fault{Op: faulttest.Put, Err: errors.New("out of reach")})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Close(ctx); !isA[*bucket.UndeliveredError](err) {
			t.Fatalf("close: %v", err)
		}
		faulty.Heal()
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		fresh, err := New(idx, faulty, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := fresh.Range(t.Context(), "a", begun, time.Now().Add(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, got, hosts("h1"))
	})
}

// TestRun checks that Run stores tick by tick, lets go of what has expired, and ends
// with its context or with Close.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		authority := new(tiered.MemTier)
		c, err := New(index.NewMemIndex(), authority, &Options{TenantIdle: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Run(t.Context()) }()
		shortcut := cut("c1")
		err = errors.Join(c.Add(t.Context(), "a", hosts("h2"), Origin{}), c.Add(t.Context(), "a", shortcut, Origin{}))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		if n := authority.Len(); n != 1 {
			t.Errorf("%d blobs after a tick", n)
		}
		holds := func(shortcuts, tenants, series int) {
			t.Helper()
			c.metrics.mu.Lock()
			defer c.metrics.mu.Unlock()
			if c.hub.Holds("a") != (shortcuts != 0) || len(c.Tenants()) != tenants || len(c.metrics.tenants) != series {
				t.Errorf("shortcuts: %v; live: %v; metrics of %v; want %d, %d and %d", c.hub.Holds("a"), c.Tenants(),
					c.metrics.tenants, shortcuts, tenants, series)
			}
		}
		holds(1, 1, 1)
		time.Sleep(30 * time.Second)
		holds(0, 0, 1)
		time.Sleep(time.Minute)
		holds(0, 0, 0)
		if err := errors.Join(c.Close(t.Context()), <-ended); err != nil {
			t.Error(err)
		}
		if err := c.Run(t.Context()); !errors.Is(err, bucket.ErrClosed) {
			t.Errorf("run after close: %v", err)
		}
	})
}
