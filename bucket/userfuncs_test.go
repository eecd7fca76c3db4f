package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// counter is a value that users hold by pointer. Its methods do not check for nil, like the methods of many types.
type counter struct {
	mu   sync.Mutex // guards reads, as a race would show
	n    int
	read int // written by reading, as some sketches sort themselves
}

func (c *counter) total() int {
	c.read++
	return c.n
}

func mergeCounters(parts []*counter) (*counter, error) {
	sum := &counter{}
	for _, p := range parts {
		sum.n += p.n
	}
	return sum, nil
}

// counterCodec panics for nil and refuses 1313.
type counterCodec struct{}

func (counterCodec) Encode(c *counter) ([]byte, error) {
	if n := c.total(); n == 1313 {
		return nil, errBroken
	} else {
		return fmt.Append(nil, n), nil
	}
}

func (counterCodec) Decode(blob []byte) (*counter, error) {
	c := &counter{}
	_, err := fmt.Sscan(string(blob), &c.n)
	return c, err
}

// failures is a Failed callback that remembers.
type failures struct {
	mu    sync.Mutex
	what  []string
	panic bool
}

func (f *failures) failed(tenant string, v *counter, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.what = append(f.what, fmt.Sprintf("%s %v %v", tenant, v != nil, err))
	if f.panic {
		panic("a callback that panics")
	}
}

func counters(t testing.TB, opts *bucket.CollectorOptions[*counter]) *bucket.Collector[*counter] {
	t.Helper()
	blobs, err := tiered.New(counterCodec{}, &tiered.MemTier{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if opts.Size == nil {
		opts.Size = func(*counter) int64 { return 16 }
	}
	c, err := bucket.NewCollector(index.NewMemIndex(), blobs, mergeCounters, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestValuesThatCannotBeStoredAreDropped adds values that encoding panics on or
// refuses: Flush and Close end, the callback is told, and nothing is pending.
func TestValuesThatCannotBeStoredAreDropped(t *testing.T) {
	t.Parallel()
	for _, panics := range []bool{false, true} {
		f := &failures{panic: panics}
		c := counters(t, &bucket.CollectorOptions[*counter]{Failed: f.failed})
		for tenant, v := range map[string]*counter{"nil": nil, "unlucky": {n: 1313}, "good": {n: 1}} {
			if err := c.Add(t.Context(), tenant, v, nil); err != nil {
				t.Fatalf("%s: %v", tenant, err)
			}
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Fatalf("flush: %v", err)
		}
		slices.Sort(f.what)
		if len(f.what) != 2 || !strings.HasPrefix(f.what[0], "nil false encode the value of tenant \"nil\"") ||
			!strings.Contains(f.what[0], "encode panicked") || !strings.Contains(f.what[1], errBroken.Error()) {
			t.Errorf("the callback was told %q", f.what)
		}
		if st := c.Stats(); st.Values != 0 || st.Bytes != 0 {
			t.Errorf("still pending: %+v", st)
		}
		for range 10 { // and the tenant is not mute
			if err := c.Add(t.Context(), "unlucky", &counter{n: 1}, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		v, err := c.Range(t.Context(), "unlucky", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), nil)
		if err != nil || v.Value.n != 10 {
			t.Errorf("the tenant's next value: %+v, %v", v, err)
		}
	}
}

// TestABadValueHurtsItself adds nil where others come to the same tick.
func TestABadValueHurtsItself(t *testing.T) {
	t.Parallel()
	for name, values := range map[string][]*counter{
		"first": {nil, {n: 1}, {n: 2}}, "later": {{n: 1}, nil, {n: 2}}, "last": {{n: 1}, {n: 2}, nil},
	} {
		f := &failures{}
		c := counters(t, &bucket.CollectorOptions[*counter]{Failed: f.failed})
		for i, v := range values {
			err := c.Add(t.Context(), "a", v, nil)
			if v != nil && err != nil {
				t.Errorf("%s: a good value is refused: %v", name, err)
			}
			if p, ok := errors.AsType[*bucket.PanicError](err); v == nil && i > 0 && (!ok || p.Func != "merge") {
				t.Errorf("%s: a value that cannot be merged: %v", name, err)
			}
		}
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		v, err := c.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), nil)
		if err != nil || v.Value.n != 3 {
			t.Errorf("%s: got %+v, %v", name, v, err)
		}
	}
}

// TestSizeThatPanicsIsAnErrorOfAdd also covers checks and decodings.
func TestSizeThatPanicsIsAnErrorOfAdd(t *testing.T) {
	t.Parallel()
	c := counters(t, &bucket.CollectorOptions[*counter]{Size: func(c *counter) int64 { return int64(c.n) }})
	bad := func() error { panic("no") }
	for what, err := range map[string]error{
		"size":   c.Add(t.Context(), "a", nil, nil),
		"check":  c.AddBlob(t.Context(), "b", bucket.Encoded[*counter]{Blob: []byte("1"), Check: bad}, nil),
		"decode": addSecond(t, c),
	} {
		if p, ok := errors.AsType[*bucket.PanicError](err); !ok || p.Func != what {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// addSecond adds a blob that has to be decoded, and panics then.
func addSecond(t *testing.T, c *bucket.Collector[*counter]) error {
	if err := c.Add(t.Context(), "c", &counter{n: 1}, nil); err != nil {
		t.Fatal(err)
	}
	return c.AddBlob(t.Context(), "c", bucket.Encoded[*counter]{Blob: []byte("1"),
		Decode: func() (*counter, error) { panic("no") }}, nil)
}

// TestStoredMayPanic loses nothing.
func TestStoredMayPanic(t *testing.T) {
	t.Parallel()
	c := counters(t, &bucket.CollectorOptions[*counter]{Stored: func(string, index.Entry, int) { panic("no") }})
	if err := errors.Join(c.Add(t.Context(), "a", &counter{n: 1}, nil), c.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	if has, err := c.Has(t.Context(), "a", time.Now().Add(-time.Hour), time.Now()); !has || err != nil {
		t.Errorf("stored: %v, %v", has, err)
	}
}

// addInto adds src to dst, which it changes.
func addInto(dst, src *counter) (*counter, error) {
	if src.n < 0 {
		return nil, errBroken
	}
	dst.mu.Lock()
	defer dst.mu.Unlock()
	dst.n += src.n
	return dst, nil
}

func cloneCounter(c *counter) *counter { return &counter{n: c.n} }

// TestInto accumulates into a value of the collector's: added values stay unchanged, and readers of the open tick have their own.
func TestInto(t *testing.T) {
	t.Parallel()
	c := counters(t, &bucket.CollectorOptions[*counter]{Into: addInto, Clone: cloneCounter})
	first, second := &counter{n: 1}, &counter{n: 2}
	var early []*counter
	for i, v := range []*counter{first, second, {n: 3}} {
		if err := c.Add(t.Context(), "a", v, nil); err != nil {
			t.Fatal(err)
		}
		live, err := c.At(t.Context(), "a", time.Now(), nil)
		if err != nil || live.Value.n != []int{1, 3, 6}[i] {
			t.Fatalf("live: %+v, %v", live, err)
		}
		held, err := c.Held(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		if err != nil || held.Open.n != live.Value.n {
			t.Fatalf("held: %+v, %v", held, err)
		}
		early = append(early, live.Value, held.Open)
	}
	if err := c.Add(t.Context(), "a", &counter{n: -1}, nil); !errors.Is(err, errBroken) {
		t.Errorf("an Into that fails: %v", err)
	}
	if first.n != 1 || second.n != 2 || early[0].n != 1 || early[2].n != 3 || early[3].n != 3 {
		t.Errorf("values of others changed: %d, %d, %d, %d", first.n, second.n, early[0].n, early[2].n)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, err := c.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), nil)
	if err != nil || v.Value.n != 6 {
		t.Errorf("stored: %+v, %v", v, err)
	}
	if _, err := bucket.NewCollector(index.NewMemIndex(), tieredCounters(t), mergeCounters,
		&bucket.CollectorOptions[*counter]{Into: addInto}); err == nil {
		t.Error("Into without Clone was taken")
	}
}

func tieredCounters(t testing.TB) *tiered.Store[*counter] {
	s, err := tiered.New(counterCodec{}, &tiered.MemTier{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestIntoWhileRead adds, asks and flushes at once. The race detector sees an
// Into that changes what a reader has.
func TestIntoWhileRead(t *testing.T) {
	t.Parallel()
	c := counters(t, &bucket.CollectorOptions[*counter]{Into: addInto, Clone: cloneCounter, Tick: time.Millisecond, Window: time.Second})
	ran := make(chan error)
	go func() { ran <- c.Run(t.Context()) }()
	var g sync.WaitGroup
	for range 3 {
		g.Go(func() {
			for range 300 {
				if err := c.Add(context.Background(), "a", &counter{n: 1}, nil); err != nil {
					t.Error(err)
				}
				live, err := c.At(context.Background(), "a", time.Now().Add(time.Hour), nil)
				if err != nil || live.Value.n < 1 {
					t.Errorf("live: %+v, %v", live, err)
				}
			}
		})
	}
	g.Wait()
	if err := errors.Join(c.Close(t.Context()), <-ran); err != nil {
		t.Fatal(err)
	}
	v, err := c.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), nil)
	if err != nil || v.Value.n != 900 {
		t.Errorf("stored: %+v, %v", v, err)
	}
}

// TestClonesAreEncoded reads a value while it is encoded, by a codec that writes
// to the value; the race detector sees both at the same value.
func TestClonesAreEncoded(t *testing.T) {
	t.Parallel()
	shared := &counter{n: 1}
	c := counters(t, &bucket.CollectorOptions[*counter]{Clone: cloneCounter})
	var g sync.WaitGroup
	for i := range 20 {
		if err := c.Add(t.Context(), fmt.Sprint(i), shared, nil); err != nil {
			t.Fatal(err)
		}
	}
	g.Go(func() {
		for range 1000 {
			_ = shared.read
		}
	})
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.Wait()
	if shared.read != 0 {
		t.Errorf("the shared value was encoded itself")
	}
}

// TestTenantsAreBounded refuses new tenants, not values of those it has, and
// lets idle ones go.
func TestTenantsAreBounded(t *testing.T) {
	t.Parallel()
	r := newResting(t, func(o *bucket.CollectorOptions[ids]) { o.MaxTenants = 2 })
	mustAdd(t, r.Collector, "a", 1)
	mustAdd(t, r.Collector, "b", 2)
	for _, opts := range []*bucket.AddOptions{nil, {At: r.now.Add(-time.Hour)}} {
		many, ok := errors.AsType[*bucket.TenantLimitError](r.Add(t.Context(), "c", ids{3}, opts))
		if !ok || many.Tenant != "c" || many.Limit != 2 {
			t.Errorf("a third tenant: %v", many)
		}
	}
	if _, ok := errors.AsType[*bucket.TenantLimitError](r.Full("c")); !ok || r.Full("a") != nil {
		t.Errorf("full: %v, %v", r.Full("c"), r.Full("a"))
	}
	mustAdd(t, r.Collector, "a", 4)
	r.tick(t)
	r.now = r.now.Add(time.Minute)
	r.tick(t)
	mustAdd(t, r.Collector, "c", 3)
}

func TestOptionsFollowEachOther(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ tick, window, want time.Duration }{
		{0, 0, 15 * time.Second}, {30 * time.Second, 0, 150 * time.Second}, {0, time.Second, time.Second}, {time.Second, time.Minute, time.Minute},
	} {
		got := newStores(t).collector(t, &bucket.CollectorOptions[ids]{Tick: c.tick, Window: c.window}).Window()
		if got != c.want {
			t.Errorf("tick %v, window %v: the window is %v, want %v", c.tick, c.window, got, c.want)
		}
	}
}

// TestOptionsAreChecked gives options that cannot work. The error names the option that was given.
func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	for want, opts := range map[string]bucket.CollectorOptions[ids]{
		"a tick of 1ns: must be at least 1ms":              {Tick: 1},
		"a window of 1ns: must be at least 1ms":            {Window: 1},
		"a window of -1ns is shorter than a tick of 3s":    {Window: -1},
		"a window of 1s is shorter than a tick of 2s":      {Window: time.Second, Tick: 2 * time.Second},
		"Into needs Clone":                                 {Into: func(dst, _ ids) (ids, error) { return dst, nil }},
		"MaxPending -1":                                    {MaxPending: -1},
		"MaxTenantPending -1":                              {MaxTenantPending: -1},
		"MaxTenants -1":                                    {MaxTenants: -1},
		"MaxBlob -1":                                       {MaxBlob: -1},
		"Flushes -1":                                       {Flushes: -1},
		"FlushesMax 1":                                     {FlushesMax: 1},
		"SyncEvery -1ns":                                   {SyncEvery: -1},
		"SyncBytes -1":                                     {SyncBytes: -1},
		"a deadline of 1µs: must be at least 1ms":          {Deadline: time.Microsecond},
		"Deadline -1ns":                                    {Deadline: -1},
		"Backoff -1ns":                                     {Backoff: -1},
		"MaxBackoff 1ns":                                   {MaxBackoff: 1},
		"a quantum of 1ns: must be at least 1ms":           {Past: bucket.QuantizerOptions[ids]{Quantum: 1}},
		"Rows -1":                                          {Past: bucket.QuantizerOptions[ids]{Rows: -1}},
		"MaxDecodedBytes -1":                               {Past: bucket.QuantizerOptions[ids]{MaxDecodedBytes: -1}},
		"a span of 1ms: must be one or more whole seconds": {Past: bucket.QuantizerOptions[ids]{Levels: &bucket.LevelOptions{Spans: []time.Duration{time.Millisecond}}}},
	} {
		if _, err := bucket.NewCollector(s.index, s.blobs, mergeIDs, &opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error about %q", err, want)
		}
	}
}

// TestACollectorThatNobodyRunsSaysSo in the log, once.
func TestACollectorThatNobodyRunsSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, runs := range []bool{false, true} {
			var log bytes.Buffer
			c := newStores(t).collector(t, &bucket.CollectorOptions[ids]{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			var r running
			if runs {
				r = start(t, c)
			}
			for i := range 20 {
				mustAdd(t, c, "a", i)
				time.Sleep(time.Second)
			}
			if runs {
				r.end(t)
			}
			if n := strings.Count(log.String(), "call the collector's Run"); n == 1 == runs {
				t.Errorf("run %v: the log says so %d times: %s", runs, n, log.String())
			}
		}
	})
}

// TestFlushEndsWithItsContext checks that the error is the context's, and names what
// is left.
func TestFlushEndsWithItsContext(t *testing.T) {
	t.Parallel()
	c := newStores(t).collector(t, fast())
	mustAdd(t, c, "a", 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := c.Flush(ctx)
	if left, ok := errors.AsType[*bucket.UndeliveredError](err); !ok || len(left.Values) != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := c.Add(ctx, "a", ids{2}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("add with a context that has ended: %v", err)
	}
}
