package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// mergeSome is mergeIDs. It refuses to merge a value with -1 with others, and panics
// for one with -2.
func mergeSome(parts []ids) (ids, error) {
	all, err := mergeIDs(parts)
	switch {
	case slices.Contains(all, -1):
		return nil, errBroken
	case slices.Contains(all, -2):
		panic(errBroken)
	}
	return all, err
}

// asker is one of the ways to ask about tenant a: it returns the values, and what is
// missing.
type asker func(ctx context.Context, opts *bucket.RangeOptions) (ids, []bucket.Missing, error)

// askers returns all ways to ask for what came within an hour around now.
func askers(t *testing.T, r *resting) map[string]asker {
	t.Helper()
	q, err := bucket.NewQuerier(r.index, r.blobs, mergeSome, nil)
	if err != nil {
		t.Fatal(err)
	}
	from, to := r.now.Add(-time.Hour), r.now.Add(time.Hour)
	sources := []bucket.Source[ids]{r.Collector}
	answer := func(a bucket.Answer[ids], err error) (ids, []bucket.Missing, error) { return a.Value, a.Missing, err }
	return map[string]asker{
		"at": func(ctx context.Context, o *bucket.RangeOptions) (ids, []bucket.Missing, error) {
			return answer(r.At(ctx, "a", to, o))
		},
		"range": func(ctx context.Context, o *bucket.RangeOptions) (ids, []bucket.Missing, error) {
			return answer(r.Range(ctx, "a", from, to, o))
		},
		"range many": func(ctx context.Context, o *bucket.RangeOptions) (ids, []bucket.Missing, error) {
			return answer(r.RangeMany(ctx, []string{"b", "a"}, from, to, o))
		},
		"querier": func(ctx context.Context, o *bucket.RangeOptions) (ids, []bucket.Missing, error) {
			return answer(q.Range(ctx, "a", from, to, sources, o))
		},
		"values": func(ctx context.Context, o *bucket.RangeOptions) (all ids, missing []bucket.Missing, failed error) {
			for v, err := range r.Values(ctx, "a", from, to, o) {
				if v.Err != nil {
					missing = append(missing, bucket.Missing{Tenant: v.Tenant, Time: v.Time, Err: v.Err})
				}
				all, failed = append(all, v.Value...), err
			}
			return all, missing, failed
		},
		"steps": func(ctx context.Context, o *bucket.RangeOptions) (all ids, missing []bucket.Missing, failed error) {
			for s, err := range r.Steps(ctx, "a", from, to, 7*time.Minute, o) {
				all, missing, failed = append(all, s.Value...), append(missing, s.Missing...), err
			}
			return all, missing, failed
		},
	}
}

// wantOneMissing asks in all ways. Each must be answered without one value, which is
// named: by an error, and in an answer that may be partial. Single values that do not
// merge are no fault, so Values must have all.
func wantOneMissing(t *testing.T, when string, r *resting, goods int, merges bool) {
	t.Helper()
	for how, ask := range askers(t, r) {
		all, missing, err := ask(t.Context(), &bucket.RangeOptions{Partial: true})
		slices.Sort(all)
		if how == "values" && !merges {
			if len(all) != goods+1 || len(missing) != 0 || err != nil {
				t.Errorf("%s, %s: got %v, missing %v, %v", when, how, all, missing, err)
			}
			continue
		}
		if err != nil || !slices.Equal(all, upTo(goods)) {
			t.Errorf("%s, %s, partial: got %v, %v; want %d values", when, how, all, err, goods)
		}
		if len(missing) != 1 || missing[0].Tenant != "a" || missing[0].Time.Before(r.now.Add(-time.Hour)) || !errors.Is(missing[0].Err, errBroken) {
			t.Errorf("%s, %s: missing %v", when, how, missing)
		}
		_, _, err = ask(t.Context(), nil)
		if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), `"a"`) || !strings.Contains(err.Error(), r.now.Format("2006-01-")) {
			t.Errorf("%s, %s: error %v", when, how, err)
		}
	}
}

// TestABadValueHurtsOnlyItself adds a value that does not decode, or does not merge with
// others, and asks while it is in the open tick, while it waits for the index, once it is
// stored, and when other ticks have ended since.
func TestABadValueHurtsOnlyItself(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]string{"does not decode": "broken", "does not merge": "[-1]", "panics": "[-2]"} {
		for _, ticks := range []int{0, 3, 20} { // more than eight are merged in advance
			for _, later := range []bool{false, true} {
				for _, journaled := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/%d/%v/%v", name, ticks, later, journaled), func(t *testing.T) {
						t.Parallel()
						badValue(t, bad, ticks, later, journaled)
					})
				}
			}
		}
	}
}

// badCodec is idCodec that does not decode "broken".
type badCodec struct{ idCodec }

func (badCodec) Decode(blob []byte) (ids, error) {
	if string(blob) == "broken" {
		return nil, errBroken
	}
	return idCodec{}.Decode(blob)
}

func badValue(t *testing.T, bad string, ticks int, later, journaled bool) {
	r := restingWith(t, nil, mergeSome, func(r *resting, opts *bucket.CollectorOptions[ids]) {
		r.now = r.now.Truncate(time.Second).UTC()
		var err error
		if r.blobs, err = tiered.New(badCodec{}, r.tier, nil); err != nil {
			t.Fatal(err)
		}
		opts.MergeLater, opts.Tick, opts.Window = later, time.Second, time.Minute
		opts.Failed = func(_ string, v ids, err error) { t.Errorf("%v is given up: %v", v, err) }
		if journaled {
			opts.Journal = newMemJournal()
		}
	})
	goods := 0
	good := func(n int) {
		for range n {
			mustAddBlob(t, r.Collector, "a", goods)
			goods++
		}
	}
	if later {
		good(2)
	}
	if err := r.AddBlob(t.Context(), "a", bucket.Encoded[ids]{Blob: []byte(bad)}, nil); err != nil {
		t.Fatal(err)
	}
	if merges := bad == "broken"; goods > 0 || merges {
		wantOneMissing(t, "open", r, goods, merges)
	}
	good(3)
	wantOneMissing(t, "open with others", r, goods, bad == "broken")
	r.index.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Flush(ended); err == nil {
		t.Fatal("flushed into an index that fails")
	}
	r.now = r.now.Add(time.Second)
	wantOneMissing(t, "waiting", r, goods, bad == "broken")
	good(2)
	wantOneMissing(t, "waiting with others", r, goods, bad == "broken")
	r.index.Heal()
	r.tick(t)
	all, missing, err := askers(t, r)["range"](t.Context(), &bucket.RangeOptions{Partial: true})
	slices.Sort(all)
	if err != nil || len(missing) != 1 || !slices.Equal(all, upTo(goods)) {
		t.Errorf("stored: %v, missing %v, %v", all, missing, err)
	}
	for range ticks {
		good(2)
		r.tick(t)
	}
	wantLive(t, r, goods)
}

// wantLive checks that the live window lacks one value while it reaches back to it, and
// none afterwards.
func wantLive(t *testing.T, r *resting, goods int) {
	t.Helper()
	a, err := r.At(t.Context(), "a", r.now, &bucket.RangeOptions{Partial: true})
	if err != nil || len(a.Missing) != 1 || len(a.Value) != goods {
		t.Errorf("live: %v, missing %v, %v", a.Value, a.Missing, err)
	}
	r.now = r.now.Add(time.Hour)
	mustAdd(t, r.Collector, "a", 1000)
	a, err = r.At(t.Context(), "a", r.now, nil)
	wantIDs(t, "after the window", a, err, ids{1000})
}

// TestACloneThatPanics adds a value that cannot be cloned, among others, to a collector
// that owns its open tick: it stops no value that comes after it, and hides none.
func TestACloneThatPanics(t *testing.T) {
	t.Parallel()
	for bad := range 4 {
		var failed []string
		r := newResting(t, func(o *bucket.CollectorOptions[ids]) {
			o.Into = func(dst, src ids) (ids, error) { return append(dst, src...), nil }
			o.Clone = func(v ids) ids {
				if slices.Contains(v, 99) {
					panic(errBroken)
				}
				return slices.Clone(v)
			}
			o.Failed = func(_ string, v ids, err error) { failed = append(failed, fmt.Sprint(v, errors.Is(err, errBroken))) }
		})
		for i := range 4 {
			if v := i; i == bad {
				mustAdd(t, r.Collector, "a", 99)
			} else {
				mustAdd(t, r.Collector, "a", v)
			}
			a, err := r.At(t.Context(), "a", r.now, nil)
			if err != nil || len(a.Value) != i+1 {
				t.Errorf("bad %d, after %d: %v, %v", bad, i, a.Value, err)
			}
		}
		r.tick(t)
		if got := r.stored(t, "a"); len(got) != 3 || slices.Contains(got, 99) || fmt.Sprint(failed) != "[[99] true]" {
			t.Errorf("bad %d: stored %v, failed %v", bad, got, failed)
		}
	}
}

// TestCallbacksThatPanic has callbacks panic that nothing waits for: the work is done, and
// its error says so.
func TestCallbacksThatPanic(t *testing.T) {
	t.Parallel()
	wantPanic := func(what string, err error) {
		t.Helper()
		if p, ok := errors.AsType[*bucket.PanicError](err); !ok || !errors.Is(p, errBroken) {
			t.Errorf("%s: %v", what, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		l := rolled(t, time.Hour, &bucket.LevelOptions{})
		begin := time.Now().Truncate(day)
		done, err := l.past.RollUp(t.Context(), "a", begin, begin.Add(time.Hour), &bucket.RollUpOptions{Progress: func(bucket.RollUpDone) { panic(errBroken) }})
		if wantPanic("roll up", err); done.Built == 0 {
			t.Errorf("rolled up: %+v", done)
		}
	})
	blobs, err := tiered.New(idCodec{}, &tiered.MemTier{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := bucket.NewCollector(index.NewMemIndex(), blobs, mergeIDs, &bucket.CollectorOptions[ids]{MaxPendingOf: func(string) int64 { panic(errBroken) }})
	if err != nil {
		t.Fatal(err)
	}
	mustAdd(t, c, "a", 1)
	if err := errors.Join(c.Full("a"), c.Flush(t.Context())); err != nil {
		t.Error(err)
	}
	deleted, err := c.DeleteTenant(t.Context(), "a", &bucket.DeleteOptions{Wait: -1, Progress: func(bucket.Deleted) { panic(errBroken) }})
	if wantPanic("delete", err); deleted.Entries != 1 {
		t.Errorf("deleted: %+v", deleted)
	}
}

// TestABadOpenTickDoesNotHideALongWindow has an open tick of several values that merge with
// each other, and not with the history. The history has more ticks than are kept apart,
// and is the answer.
func TestABadOpenTickDoesNotHideALongWindow(t *testing.T) {
	t.Parallel()
	apart := func(parts []ids) (ids, error) {
		all, err := mergeIDs(parts)
		if len(all) > 0 && all[0] < 0 && all[len(all)-1] >= 0 {
			return nil, errBroken
		}
		return all, err
	}
	r := restingWith(t, nil, apart, func(_ *resting, opts *bucket.CollectorOptions[ids]) {
		opts.Tick, opts.Window = time.Second, time.Minute
	})
	for i := range 20 {
		mustAdd(t, r.Collector, "a", 2*i, 2*i+1)
		r.tick(t)
	}
	mustAdd(t, r.Collector, "a", -1, -2, -3, -4, -5)
	a, err := r.At(t.Context(), "a", r.now.Add(time.Minute), &bucket.RangeOptions{Partial: true})
	if len(a.Missing) != 1 {
		t.Errorf("missing %v", a.Missing)
	}
	wantIDs(t, "the history", a, err, upTo(40))
}
