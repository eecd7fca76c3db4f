package bucket_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
)

func mustAddAt(t testing.TB, c *bucket.Collector[ids], tenant string, at time.Time, v int) {
	t.Helper()
	if err := c.Add(t.Context(), tenant, ids{v}, &bucket.AddOptions{At: at}); err != nil {
		t.Fatal(err)
	}
}

// TestAddAtIsExactAtOnce adds values of past instants, before and after
// anything was stored, and asks every kind of question before and after they
// reach the index.
func TestAddAtIsExactAtOnce(t *testing.T) {
	t.Parallel()
	r := newResting(t, nil)
	q := r.querier(t)
	noon := r.now.Add(-24 * time.Hour)
	mustAddAt(t, r.Collector, "a", noon, 1)
	mustAddAt(t, r.Collector, "a", noon.Add(time.Second), 2)
	mustAddAt(t, r.Collector, "a", noon, 3) // the same instant
	blob := bucket.Encoded[ids]{Blob: []byte("[4]")}
	if err := r.AddBlob(t.Context(), "a", blob, &bucket.AddOptions{At: noon.Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		v, err := r.Range(t.Context(), "a", noon, noon.Add(time.Second), nil)
		wantIDs(t, when+": a second", v, err, ids{1, 3})
		v, err = r.Range(t.Context(), "a", noon.Add(-2*time.Hour), noon.Add(2*time.Hour), nil)
		wantIDs(t, when+": all", v, err, ids{1, 2, 3, 4})
		v, err = r.At(t.Context(), "a", noon.Add(2*time.Second), nil)
		wantIDs(t, when+": at", v, err, ids{1, 2, 3})
		v, err = r.At(t.Context(), "a", r.now, nil)
		wantIDs(t, when+": now", v, err, nil)
		if has, err := r.Has(t.Context(), "a", noon.Add(-time.Hour), noon); !has || err != nil {
			t.Errorf("%s: has %v, %v", when, has, err)
		}
		a, err := q.Range(t.Context(), "a", noon, noon.Add(time.Hour), []bucket.Source[ids]{r.Collector}, nil)
		wantIDs(t, when+": a querier", a.Value, err, ids{1, 2, 3})
	}
	check("before a flush")
	if n := len(waitingOf(t, r.Collector, "a")); n != 4 {
		t.Errorf("%d values wait, want 4", n)
	}
	r.tick(t)
	check("after")
	wantIDs(t, "stored", r.stored(t, "a"), nil, ids{1, 2, 3, 4})
	entries, err := r.Entries(t.Context(), "a", noon.Add(-2*time.Hour), r.now)
	if err != nil || len(entries) != 4 || r.Pending() != 0 {
		t.Fatalf("entries %v, error %v, %d bytes pending", entries, err, r.Pending())
	}
	for _, e := range entries {
		if at, err := index.ParseBlobKey(e.Key); err != nil || at != e.Time || e.Size == 0 || !e.Sum.Known() {
			t.Errorf("entry %+v: its key is of instant %d, error %v", e, at, err)
		}
	}
}

// TestAddAtWithinTheWindow checks that a value of an instant within the window is in
// the live window until it is a window old.
func TestAddAtWithinTheWindow(t *testing.T) {
	t.Parallel()
	for _, alone := range []bool{false, true} {
		r := newResting(t, func(o *bucket.CollectorOptions[ids]) { o.Alone = alone })
		mustAdd(t, r.Collector, "a", 1)
		mustAddAt(t, r.Collector, "a", r.now.Add(-10*time.Second), 2)
		want := ids{1, 2}
		if !alone {
			v, err := r.At(t.Context(), "a", r.now, nil)
			wantIDs(t, "one of several", v, err, want)
		}
		v, err := r.At(t.Context(), "a", r.now, nil)
		wantIDs(t, "live", v, err, want)
		r.tick(t)
		v, err = r.At(t.Context(), "a", r.now, nil)
		wantIDs(t, "stored", v, err, want)
		r.now = r.now.Add(4 * time.Second)
		v, err = r.At(t.Context(), "a", r.now, nil)
		wantIDs(t, "a window later", v, err, ids{1})
		mustAddAt(t, r.Collector, "a", r.now.Add(-time.Second), 3)
		v, err = r.At(t.Context(), "a", r.now, nil)
		wantIDs(t, "one more", v, err, ids{1, 3})
	}
}

func TestAddAtRefuses(t *testing.T) {
	t.Parallel()
	r := newResting(t, nil)
	for name, at := range map[string]time.Time{
		"the future":           r.now.Add(1),
		"before 1678":          time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC),
		"after 2262":           time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC),
		"the last of all time": time.Unix(0, math.MaxInt64),
	} {
		err := r.Add(t.Context(), "a", ids{1}, &bucket.AddOptions{At: at})
		if refused, ok := errors.AsType[*bucket.InstantError](err); !ok || !refused.At.Equal(at) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := r.LiveTenants(); len(got) > 0 {
		t.Errorf("a refused value made tenants %q", got)
	}
}

// TestKeysOfPastInstantsAreFresh checks that a value of an instant whose entry was
// removed gets another key, so that no cache answers with the old value.
func TestKeysOfPastInstantsAreFresh(t *testing.T) {
	t.Parallel()
	r := newResting(t, nil)
	at := r.now.Add(-time.Hour)
	seen := make(map[string]bool)
	for i := range 20 {
		mustAddAt(t, r.Collector, "a", at, i)
		for _, e := range waitingOf(t, r.Collector, "a") {
			if seen[e.Key] || !strings.HasPrefix(e.Key, index.RowAt("a", e.Time).BlobKey(e.Time)+"-") {
				t.Fatalf("key %s is used twice, or not of its instant", e.Key)
			}
			seen[e.Key] = true
		}
		r.tick(t)
	}
	r.now = r.now.Add(-30 * time.Minute) // a clock that is set back may use an instant again
	mustAdd(t, r.Collector, "a", 100)
	r.tick(t)
	r.now = r.now.Add(-15 * time.Minute)
	mustAdd(t, r.Collector, "a", 101)
	gone := r.now
	r.tick(t)
	entries, err := r.Entries(t.Context(), "a", gone, gone.Add(time.Second))
	if err != nil || len(entries) != 1 || !strings.Contains(entries[0].Key, "-") {
		t.Errorf("after the clock was set back: entries %v, error %v", entries, err)
	}
}

// TestFreshKeysRecogniseTheirOwnPut lets a put land and fail: the value is not
// stored under a second key.
func TestFreshKeysRecogniseTheirOwnPut(t *testing.T) {
	t.Parallel()
	r := newResting(t, nil)
	r.tier.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken, Applied: true, Times: 1})
	at := r.now.Add(-time.Hour)
	mustAddAt(t, r.Collector, "a", at, 1)
	key := waitingOf(t, r.Collector, "a")[0].Key
	r.tick(t)
	entries, err := r.Entries(t.Context(), "a", at, at.Add(time.Second))
	if err != nil || len(entries) != 1 || entries[0].Key != key {
		t.Errorf("entries %v, error %v, want the one of key %s", entries, err, key)
	}
}

// TestPastAndPresentAgainstAModel adds values of now and of past instants,
// flushes, lets time pass, and asks.
func TestPastAndPresentAgainstAModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := newStores(t)
		now := time.Unix(1_700_000_000, 0)
		opts := fast()
		opts.Now = func() time.Time { return now }
		opts.Alone = rapid.Bool().Draw(rt, "alone")
		c := s.collector(t, opts)
		q := s.querier(t)
		var m pastModel
		for i := range rapid.IntRange(1, 30).Draw(rt, "operations") {
			switch rapid.SampledFrom([]string{"add", "add at", "add at", "flush", "pass"}).Draw(rt, "operation") {
			case "add":
				m.add(now, i)
				mustAdd(t, c, "a", i)
			case "add at":
				at := now.Add(-time.Duration(rapid.IntRange(0, 40_000).Draw(rt, "ms")) * time.Millisecond)
				m.sealed = append(m.sealed, modelValue{at, at, ids{i}})
				mustAddAt(t, c, "a", at, i)
			case "flush":
				m.seal(now)
				if err := c.Flush(t.Context()); err != nil {
					rt.Fatal(err)
				}
				now = now.Add(time.Millisecond)
			case "pass":
				now = now.Add(time.Duration(rapid.IntRange(1, 9000).Draw(rt, "ms")) * time.Millisecond)
			}
			from := now.Add(-time.Duration(rapid.IntRange(0, 40_000).Draw(rt, "from")) * time.Millisecond)
			v, err := c.Range(t.Context(), "a", from, now.Add(time.Second), nil)
			wantIDs(rt, "range", v, err, m.since(from))
			a, err := q.Range(t.Context(), "a", from, now.Add(time.Second), []bucket.Source[ids]{c}, nil)
			wantIDs(rt, "querier", a.Value, err, m.since(from))
			v, err = c.At(t.Context(), "a", now, nil)
			wantIDs(rt, "live", v, err, m.live(now.Add(-15*time.Second+1)))
		}
	})
}

// modelValue is a value with its instant. Its age in the live window counts from
// aged: a tick after the first part came, unless a part came later.
type modelValue struct {
	at, aged time.Time
	values   ids
}

type pastModel struct {
	begun, latest time.Time
	open          ids
	sealed        []modelValue
}

func (m *pastModel) add(now time.Time, v int) {
	if m.open == nil {
		m.begun = now
	}
	m.open, m.latest = append(m.open, v), now
}

func (m *pastModel) seal(now time.Time) {
	if m.open != nil {
		aged := m.begun.Add(3 * time.Second)
		if now.Before(aged) {
			aged = now
		}
		m.sealed = append(m.sealed, modelValue{now, later(aged, m.latest), m.open})
	}
	m.open = nil
}

func (m *pastModel) live(from time.Time) ids {
	all := slices.Clone(m.open)
	for _, v := range m.sealed {
		if !v.aged.Before(from) {
			all = append(all, v.values...)
		}
	}
	slices.Sort(all)
	return all
}

func (m *pastModel) since(from time.Time) ids {
	all := slices.Clone(m.open)
	for _, v := range m.sealed {
		if !v.at.Before(from) {
			all = append(all, v.values...)
		}
	}
	slices.Sort(all)
	return all
}

// TestIDsAreMergedOnce repeats values with their ids, as a client does whose
// answer was lost.
func TestIDsAreMergedOnce(t *testing.T) {
	t.Parallel()
	r := newResting(t, nil)
	add := func(id string, v int) {
		t.Helper()
		if err := r.Add(t.Context(), "a", ids{v}, &bucket.AddOptions{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	blob := func(id string, b string) {
		t.Helper()
		if err := r.AddBlob(t.Context(), "a", bucket.Encoded[ids]{Blob: []byte(b)}, &bucket.AddOptions{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	add("x", 1)
	add("x", 1)
	add("", 2)
	add("", 2)
	blob("b", "[3]")
	blob("b", "[3]")
	blob("b", "[ 3 ]") // other bytes: another value
	r.tick(t)
	add("x", 1)
	blob("b", "[3]")
	at := &bucket.AddOptions{ID: "past", At: r.now.Add(-time.Hour)}
	for range 2 {
		if err := r.Add(t.Context(), "a", ids{4}, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Add(t.Context(), "other", ids{1}, &bucket.AddOptions{ID: "x"}); err != nil {
		t.Fatal(err)
	}
	r.tick(t)
	wantIDs(t, "stored", r.stored(t, "a"), nil, ids{1, 2, 2, 3, 3, 4})
	wantIDs(t, "of another tenant", r.stored(t, "other"), nil, ids{1})
	r.now = r.now.Add(15 * time.Second)
	add("x", 1)
	r.tick(t)
	wantIDs(t, "a window later", r.stored(t, "a"), nil, ids{1, 1, 2, 2, 3, 3, 4})
}

// TestARefusedIDIsNotRemembered checks that an Add that failed may be repeated.
func TestARefusedIDIsNotRemembered(t *testing.T) {
	t.Parallel()
	r := newResting(t, nil)
	e := bucket.Encoded[ids]{Blob: []byte("[1]"), Check: func() error { return errBroken }}
	if err := r.AddBlob(t.Context(), "a", e, &bucket.AddOptions{ID: "x"}); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	e.Check = nil
	if err := r.AddBlob(t.Context(), "a", e, &bucket.AddOptions{ID: "x"}); err != nil {
		t.Fatal(err)
	}
	r.tick(t)
	wantIDs(t, "stored", r.stored(t, "a"), nil, ids{1})
}

// TestIDsAreBounded adds more ids than are remembered.
func TestIDsAreBounded(t *testing.T) {
	t.Parallel()
	r := newResting(t, func(o *bucket.CollectorOptions[ids]) { o.MaxPending = 1 << 40 })
	const most = 1 << 16
	for i := range most + 1 {
		if err := r.Add(t.Context(), "a", nil, &bucket.AddOptions{ID: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	add := func(id int, v int) {
		t.Helper()
		if err := r.Add(t.Context(), "a", ids{v}, &bucket.AddOptions{ID: fmt.Sprint(id)}); err != nil {
			t.Fatal(err)
		}
	}
	add(0, 7)    // forgotten, so added again
	add(most, 8) // remembered
	v, err := r.At(t.Context(), "a", r.now, nil)
	wantIDs(t, "live", v, err, ids{7})
	r.now = r.now.Add(time.Minute)
	r.tick(t)
	r.now = r.now.Add(time.Minute)
	r.tick(t)
	if got := r.LiveTenants(); len(got) != 0 {
		t.Errorf("ids keep tenants %q in memory", got)
	}
}
