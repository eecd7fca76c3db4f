package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
)

// longAgo is a clock by which all quanta near noon are worth caching.
func longAgo() *bucket.QuantizerOptions[counts] {
	return &bucket.QuantizerOptions[counts]{Now: func() time.Time { return after(24 * 3600) }}
}

// TestRule1EdgesAreApart cuts a quantum at each of its nanoseconds that could
// matter, before and after the whole of it was asked for.
func TestRule1EdgesAreApart(t *testing.T) {
	t.Parallel()
	bounds := []time.Time{after(-3), after(0).Add(-1), after(0), after(0).Add(1), after(1), after(3).Add(-1), after(3), after(3).Add(1), after(6)}
	for _, wholeFirst := range []bool{true, false} {
		p := newPast(t, nil, longAgo())
		for _, at := range bounds {
			p.add(t, "a", at)
		}
		if wholeFirst {
			p.check(t, "a", after(-30), after(30))
		}
		for i, from := range bounds {
			for _, to := range bounds[i:] {
				p.check(t, "a", from, to)
			}
		}
		p.check(t, "a", after(-30), after(30))
	}
}

// TestRule1EdgesAreNotCached sees edges fetched again and whole quanta not.
func TestRule1EdgesAreNotCached(t *testing.T) {
	t.Parallel()
	p := newPast(t, nil, longAgo())
	head, other, tail := p.add(t, "a", after(2)), p.add(t, "a", after(2.5)), p.add(t, "a", after(9))
	whole := []string{p.add(t, "a", after(3)), p.add(t, "a", after(4)), p.add(t, "a", after(6)), p.add(t, "a", after(7))}
	p.check(t, "a", after(1), after(11))
	p.checkFetched(t, 1, append(whole, head, other, tail)...)
	p.blobs.forget()
	p.check(t, "a", after(0), after(10)) // the head as a quantum
	p.checkFetched(t, 0)                 // the same entries
	p.check(t, "a", after(2.5), after(11))
	p.checkFetched(t, 1, other, tail)
	p.blobs.forget()
	p.check(t, "a", after(0), after(9)) // the head as a quantum, for the first time
	p.checkFetched(t, 1, head, other)
}

// TestRule2NoSilentPartial takes away one blob after another.
func TestRule2NoSilentPartial(t *testing.T) {
	t.Parallel()
	p := newPast(t, nil, longAgo())
	instants := []time.Time{after(2), after(3), after(4), after(6), after(9)} // head, two whole, tail
	for _, at := range instants {
		key := p.add(t, "a", at)
		v := p.blobs.remove(key)
		_, err := p.Range(t.Context(), "a", after(1), after(11))
		missing, ok := errors.AsType[*bucket.MissingError](err)
		if !ok || missing.Tenant != "a" || !slices.Equal(missing.Keys(), []string{key}) || missing.Entries[0].Time != at.UnixNano() {
			t.Fatalf("without %s: got %v, want a MissingError that names it", key, err)
		}
		for _, part := range []string{`"a"`, key, at.Format(time.RFC3339)} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not say %s", err, part)
			}
		}
		if err := p.blobs.set(key, v); err != nil {
			t.Fatal(err)
		}
		p.check(t, "a", after(1), after(11))
	}
}

func TestRule2AllThatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	p := newPast(t, nil, longAgo())
	var keys []string
	for _, s := range []float64{2, 3, 4, 6, 9} {
		keys = append(keys, p.add(t, "a", after(s)))
		p.blobs.remove(keys[len(keys)-1])
	}
	p.add(t, "a", after(5))
	_, err := p.Range(t.Context(), "a", after(1), after(11))
	missing, ok := errors.AsType[*bucket.MissingError](err)
	if !ok || !slices.Equal(missing.Keys(), keys) {
		t.Fatalf("got %v, want a MissingError of %v", err, keys)
	}
	p.check(t, "a", after(5), after(6))
}

// TestRule2IndexFails lets one row after another fail.
func TestRule2IndexFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("index is down")
	x := faulttest.NewIndex(index.NewMemIndex(), 1)
	p := newPast(t, x, longAgo())
	for h := range 4 {
		p.add(t, "a", after(float64(h)*3600))
	}
	for h := range int64(4) {
		x.Decide(func(c faulttest.Call) faulttest.Fault {
			if c.Row.Hour == index.RowAt("a", noon.UnixNano()).Hour+h {
				return faulttest.Fault{Err: broken}
			}
			return faulttest.Fault{}
		})
		got, err := p.Range(t.Context(), "a", after(0), after(4*3600))
		if !errors.Is(err, broken) || got != nil {
			t.Errorf("row %d failed: got %v, %v", h, got, err)
		}
	}
	x.Heal()
	p.check(t, "a", after(0), after(4*3600))
}

// TestHasBesideAFault knows of an entry though another row fails, and does
// not take a row that failed for an empty one.
func TestHasBesideAFault(t *testing.T) {
	t.Parallel()
	broken := errors.New("index is down")
	x := faulttest.NewIndex(index.NewMemIndex(), 1)
	p := newPast(t, x, &bucket.QuantizerOptions[counts]{Rows: 1})
	x.Decide(func(c faulttest.Call) faulttest.Fault {
		if c.Row.Hour == index.RowAt("", after(3600).UnixNano()).Hour {
			return faulttest.Fault{Err: broken}
		}
		return faulttest.Fault{}
	})
	if has, err := p.Has(t.Context(), "a", after(0), after(3*3600)); has || !errors.Is(err, broken) {
		t.Errorf("a row failed and the others are empty: got %v, %v", has, err)
	}
	p.add(t, "a", after(5))
	if has, err := p.Has(t.Context(), "a", after(0), after(3*3600)); !has || err != nil {
		t.Errorf("the first row has an entry: got %v, %v", has, err)
	}
}

func TestRangeWithACancelledContext(t *testing.T) {
	t.Parallel()
	x := faulttest.NewIndex(index.NewMemIndex(), 1)
	p := newPast(t, x, &bucket.QuantizerOptions[counts]{Rows: 1})
	for h := range 4 {
		p.add(t, "a", after(float64(h)*3600))
	}
	for n := range 4 { // cancelled when n rows have been read
		ctx, cancel := context.WithCancel(t.Context())
		before := x.Calls(faulttest.Query)
		x.Decide(func(c faulttest.Call) faulttest.Fault {
			if c.N-before > n {
				cancel()
				return faulttest.Fault{Hang: true}
			}
			return faulttest.Fault{}
		})
		if got, err := p.Range(ctx, "a", after(0), after(4*3600)); !errors.Is(err, context.Canceled) || got != nil {
			t.Errorf("cancelled after %d rows: got %v, %v", n, got, err)
		}
		cancel()
	}
}

// TestRule3LateEntry adds to quanta that are cached.
func TestRule3LateEntry(t *testing.T) {
	t.Parallel()
	p := newPast(t, nil, longAgo())
	first := []string{p.add(t, "a", after(3)), p.add(t, "a", after(4))}
	p.add(t, "a", after(6))
	p.add(t, "a", after(7))
	p.check(t, "a", after(0), after(12))
	for _, at := range []time.Time{after(3).Add(1), after(5), after(6).Add(-1)} { // between, after, and last
		p.blobs.forget()
		first = append(first, p.add(t, "a", at))
		p.check(t, "a", after(0), after(12))
		p.checkFetched(t, 1, first...) // and not the quantum from 6
	}
	p.blobs.forget()
	p.check(t, "a", after(0), after(12))
	p.checkFetched(t, 0)
}

// TestRule3TenantsAndQuantaAreApart has equal entries under different names.
func TestRule3TenantsAndQuantaAreApart(t *testing.T) {
	t.Parallel()
	x, blobs := index.NewMemIndex(), newShelf()
	q, err := bucket.NewQuantizer(x, blobs, mergeCounts, longAgo())
	if err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"a", "b"} {
		row := index.RowAt(tenant, noon.UnixNano())
		if err := x.Put(t.Context(), row, index.Entry{Time: noon.UnixNano(), Key: "shared"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := blobs.set("shared", counts{1: 1}); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"a", "b"} {
		if got, err := q.Range(t.Context(), tenant, after(0), after(3), nil); got.Value[1] != 1 || err != nil {
			t.Errorf("tenant %s: %v, %v", tenant, got, err)
		}
	}
	if calls, _ := blobs.asked(); calls != 2 {
		t.Errorf("%d fetches, want one for each tenant", calls)
	}
}

// TestRule3NothingBesideAnErrorIsCached reads two quanta and an edge while a fetch fails, and then each of them alone.
func TestRule3NothingBesideAnErrorIsCached(t *testing.T) {
	t.Parallel()
	broken := errors.New("does not decode")
	for name, spoil := range map[string]func(p *past, key string) (heal func()){
		"a key fails": func(p *past, key string) func() {
			p.blobs.inject(func(context.Context, []string) ([]string, error) { return []string{key}, broken })
			return func() { p.blobs.inject(nil) }
		},
		"all keys fail": func(p *past, key string) func() {
			p.blobs.inject(func(_ context.Context, keys []string) ([]string, error) { return keys, broken })
			return func() { p.blobs.inject(nil) }
		},
		"a failure that hit no key": func(p *past, key string) func() {
			p.blobs.inject(func(context.Context, []string) ([]string, error) { return nil, broken })
			return func() { p.blobs.inject(nil) }
		},
		"a blob is missing": func(p *past, key string) func() {
			v := p.blobs.remove(key)
			return func() { _ = p.blobs.set(key, v) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPast(t, nil, longAgo())
			edge, good, bad := p.add(t, "a", after(1)), p.add(t, "a", after(3)), p.add(t, "a", after(6))
			heal := spoil(p, bad)
			if _, err := p.Range(t.Context(), "a", after(1), after(9)); err == nil && name != "a failure that hit no key" {
				t.Error("no error")
			}
			heal()
			p.blobs.forget()
			p.check(t, "a", after(1), after(9))
			p.checkFetched(t, 1, edge, good, bad)
		})
	}
}

// picky returns a quantizer whose merge refuses value 3 while refuse is set, by
// an error or by a panic.
func picky(t *testing.T, refuse *bool, how func() error) *past {
	t.Helper()
	x, blobs := index.NewMemIndex(), newShelf()
	q, err := bucket.NewQuantizer(x, blobs, func(parts []counts) (counts, error) {
		if v, _ := mergeCounts(parts); *refuse && v[3] > 0 {
			return nil, how()
		}
		return mergeCounts(parts)
	}, &bucket.QuantizerOptions[counts]{Grace: -1})
	if err != nil {
		t.Fatal(err)
	}
	p := &past{Quantizer: q, index: x, blobs: blobs}
	for _, s := range []float64{0, 1, 3, 4, 6} {
		p.add(t, "a", after(s))
	}
	return p
}

var errPicky = errors.New("does not merge")

// TestPoison has a stored value that the merge refuses: the error names it,
// nothing is cached beside it, and a partial answer leaves it out.
func TestPoison(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]func() error{
		"an error": func() error { return errPicky },
		"a panic":  func() error { panic(errPicky) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refuse := true
			p := picky(t, &refuse, how)
			poison := index.RowAt("a", after(3).UnixNano()).BlobKey(after(3).UnixNano())
			for range 2 {
				_, err := p.Range(t.Context(), "a", after(0), after(9))
				e, ok := errors.AsType[*bucket.MergeError](err)
				if !ok || !errors.Is(err, errPicky) || e.Tenant != "a" || len(e.Entries) != 1 || e.Entries[0].Key != poison {
					t.Errorf("got %v, want a MergeError that names the value of %v", err, after(3))
				}
			}
			a, err := p.Quantizer.Range(t.Context(), "a", after(0), after(9), &bucket.RangeOptions{Partial: true})
			if err != nil || a.Entries != 4 || len(a.Value) != 4 || a.Value[3] != 0 {
				t.Errorf("a partial answer: %+v, %v", a, err)
			}
			if len(a.Missing) != 1 || a.Missing[0].Key != poison || !a.Missing[0].Time.Equal(after(3)) || !errors.Is(a.Missing[0].Err, errPicky) {
				t.Errorf("missing: %+v", a.Missing)
			}
			refuse = false
			p.check(t, "a", after(0), after(9))
		})
	}
}

// TestPartial leaves out what the store cannot give, names it, and keeps nothing
// of such an answer.
func TestPartial(t *testing.T) {
	t.Parallel()
	p := newPast(t, nil, longAgo())
	var keys []string
	for _, s := range []float64{0, 1, 3, 4, 7} {
		keys = append(keys, p.add(t, "a", after(s)))
	}
	gone := p.blobs.remove(keys[1])
	p.blobs.inject(func(context.Context, []string) ([]string, error) { return []string{keys[3]}, errPicky })
	for range 2 {
		a, err := p.Quantizer.Range(t.Context(), "a", after(0), after(9), &bucket.RangeOptions{Partial: true})
		if err != nil || a.Entries != 3 || len(a.Value) != 3 || len(a.Missing) != 2 {
			t.Fatalf("got %+v, %v", a, err)
		}
		if a.Missing[0].Key != keys[1] || !errors.Is(a.Missing[0].Err, bucket.ErrNoBlob) ||
			a.Missing[1].Key != keys[3] || !errors.Is(a.Missing[1].Err, errPicky) || a.Missing[1].Tenant != "a" {
			t.Errorf("missing: %+v", a.Missing)
		}
		if _, err := p.Range(t.Context(), "a", after(0), after(9)); !errors.Is(err, errPicky) {
			t.Errorf("an exact question: %v", err)
		}
	}
	p.blobs.inject(nil)
	if err := p.blobs.set(keys[1], gone); err != nil {
		t.Fatal(err)
	}
	p.check(t, "a", after(0), after(9))
}

// TestTooLarge refuses a question before it reads a blob.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	p := newPast(t, nil, longAgo())
	for i := range int64(10) {
		e := index.Entry{Time: after(float64(i)).UnixNano(), Key: fmt.Sprint(i), Size: 1000}
		if err := p.index.Put(t.Context(), index.RowAt("a", e.Time), e); err != nil {
			t.Fatal(err)
		}
	}
	_, err := p.Quantizer.Range(t.Context(), "a", after(0), after(10), &bucket.RangeOptions{MaxBytes: 10_000})
	if e, ok := errors.AsType[*bucket.RangeTooLargeError](err); !ok || e.Bytes <= 10_000 || e.Limit != 10_000 {
		t.Errorf("got %v", err)
	}
	p.checkFetched(t, 0)
}

// TestOneGet counts the calls for a question with everything in it.
func TestOneGet(t *testing.T) {
	t.Parallel()
	p := newPast(t, nil, longAgo())
	var keys []string
	for i := range 40 {
		keys = append(keys, p.add(t, "a", after(-20+float64(i))))
	}
	p.check(t, "a", after(-20), after(20))
	p.checkFetched(t, 1, keys...)
}

// TestRule7QuestionsAreBounded asks about more than fits into a batch, and about a
// quantum and a minute that do not fit alone.
func TestRule7QuestionsAreBounded(t *testing.T) {
	t.Parallel()
	opts := longAgo()
	opts.Batch = 4
	p := newPast(t, nil, opts)
	for i := range 40 {
		p.add(t, "a", after(-60+3*float64(i)+1)) // each in a quantum of its own
	}
	for i := range 6 {
		p.add(t, "a", after(float64(i)/7))
	}
	var most []int
	p.blobs.inject(func(_ context.Context, keys []string) ([]string, error) {
		most = append(most, len(keys))
		return nil, nil
	})
	p.check(t, "a", after(-70), after(70))
	slices.Sort(most)
	if n := len(most); n != 12 || most[n-1] > 4 {
		t.Errorf("fetched batches of %v, want twelve and none over 4", most)
	}
	most = nil
	p.check(t, "a", after(-70), after(70))
	if len(most) > 0 {
		t.Errorf("fetched batches of %v again, want none", most)
	}
}

// TestSharedKey has two entries that name one blob: both count.
func TestSharedKey(t *testing.T) {
	t.Parallel()
	p := newPast(t, nil, nil)
	if err := p.blobs.set("k", counts{1: 1}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []float64{0, 1, 4} {
		instant := after(s).UnixNano()
		if err := p.index.Put(t.Context(), index.RowAt("a", instant), index.Entry{Time: instant, Key: "k"}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := p.Range(t.Context(), "a", after(0), after(6)); got[1] != 3 || err != nil {
		t.Errorf("got %v, %v, want the value three times", got, err)
	}
	if calls, _ := p.blobs.asked(); calls != 1 {
		t.Errorf("%d calls, want one", calls)
	}
}

func TestGrace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		grace time.Duration
		now   time.Time
		again int // calls for a second question
	}{
		"just old enough":       {0, after(3.5), 0},
		"too young by 1 ns":     {0, after(3.5).Add(-1), 1},
		"longer grace":          {time.Minute, after(62), 1},
		"longer grace, old":     {time.Minute, after(63), 0},
		"no grace, not over":    {-1, after(1), 0},
		"no grace, future even": {-1, after(-100), 0},
	} {
		p := newPast(t, nil, &bucket.QuantizerOptions[counts]{Grace: c.grace, Now: func() time.Time { return c.now }})
		p.add(t, "a", after(0))
		p.add(t, "a", after(3).Add(-1))
		p.add(t, "a", after(3))
		p.check(t, "a", after(0), after(3))
		p.blobs.forget()
		p.check(t, "a", after(0), after(3))
		if calls, _ := p.blobs.asked(); calls != c.again {
			t.Errorf("%s: %d calls for the second question, want %d", name, calls, c.again)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	size := func(v counts) int64 { return 1000 }
	for name, c := range map[string]struct {
		opts   bucket.QuantizerOptions[counts]
		cached bool
	}{
		"room":         {bucket.QuantizerOptions[counts]{Size: size, CacheBytes: 1200}, true},
		"no room":      {bucket.QuantizerOptions[counts]{Size: size, CacheBytes: 1199}, false},
		"none":         {bucket.QuantizerOptions[counts]{Size: size, CacheBytes: -1}, false},
		"unknown size": {bucket.QuantizerOptions[counts]{Size: func(counts) int64 { return 0 }}, false},
		"learned size": {bucket.QuantizerOptions[counts]{}, true},
	} {
		c.opts.Now = longAgo().Now
		x, blobs := index.NewMemIndex(), newShelf()
		q, err := bucket.NewQuantizer(x, blobs, mergeCounts, &c.opts)
		if err != nil {
			t.Fatal(err)
		}
		p := &past{Quantizer: q, index: x, blobs: blobs}
		p.add(t, "a", after(0))
		p.add(t, "a", after(1))
		p.check(t, "a", after(0), after(3))
		p.check(t, "a", after(0), after(3))
		calls, _ := p.blobs.asked()
		if cached := calls == 1; cached != c.cached {
			t.Errorf("%s: cached %v, want %v", name, cached, c.cached)
		}
		if encoded := p.blobs.encoded.Load(); encoded > 0 {
			t.Errorf("%s: %d values were encoded to weigh them", name, encoded)
		}
	}
}
