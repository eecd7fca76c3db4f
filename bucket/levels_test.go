package bucket_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// retaining is a store whose values are rolled up, and a list of what it holds.
type retaining struct {
	*testing.T
	index *index.MemIndex
	blobs *tiered.MemTier
	past  *bucket.Quantizer[ids]
	added map[int]time.Time // by value
}

const day = 24 * time.Hour

// rolled returns a store in a bubble, with one value every 30 s of the given time
// before now. Values are all of tenant "a".
func rolled(t *testing.T, d time.Duration, o *bucket.LevelOptions) *retaining {
	t.Helper()
	l := &retaining{T: t, index: index.NewMemIndex(), blobs: new(tiered.MemTier), added: make(map[int]time.Time)}
	store, err := tiered.New(idCodec{}, l.blobs, &tiered.Options[ids]{Memory: -1})
	if err != nil {
		t.Fatal(err)
	}
	o.Owned = true
	if l.past, err = bucket.NewQuantizer(l.index, store, mergeIDs, &bucket.QuantizerOptions[ids]{Levels: o, CacheBytes: -1}); err != nil {
		t.Fatal(err)
	}
	begin := time.Now().Truncate(24 * time.Hour)
	for at := begin; at.Before(begin.Add(d)); at = at.Add(30 * time.Second) {
		l.put(at)
	}
	time.Sleep(time.Until(begin.Add(d + time.Hour)))
	return l
}

// twoDays is rolled of two days, all rolled up, under retention by level. It also
// returns when the days begin.
func twoDays(t *testing.T) (l *retaining, begin time.Time) {
	t.Helper()
	l = rolled(t, 2*day, retained())
	l.rollUp()
	return l, time.Now().Truncate(day).Add(-2 * day)
}

// put stores a value as a writer does.
func (l *retaining) put(at time.Time) {
	l.Helper()
	v := len(l.added) + 1
	row := index.RowAt("a", at.UnixNano())
	e := index.Entry{Time: at.UnixNano(), Key: row.FreshBlobKey(at.UnixNano(), fmt.Sprint("N", v))}
	blob, err := json.Marshal(ids{v})
	if err == nil {
		err = errors.Join(l.blobs.Put(l.Context(), e.Key, blob), bucket.NewWriter(l.index).Put(l.Context(), row, e))
	}
	if err != nil {
		l.Fatal(err)
	}
	l.added[v] = at
}

// rollUp builds and verifies all there is.
func (l *retaining) rollUp() bucket.RollUpDone {
	l.Helper()
	done, err := l.past.RollUp(l.Context(), "a", time.Now().Add(-40*24*time.Hour), time.Now(), &bucket.RollUpOptions{Verify: true})
	if err != nil || done.Failed+done.Differ+done.Void > 0 {
		l.Fatalf("rolled up %+v, %v", done, err)
	}
	return done
}

// between returns the values of [from, to) in order.
func (l *retaining) between(from, to time.Time) (v ids) {
	for id, at := range l.added {
		if !at.Before(from) && at.Before(to) {
			v = append(v, id)
		}
	}
	slices.Sort(v)
	return v
}

// want compares an answer with the list.
func (l *retaining) want(from, to time.Time) {
	l.Helper()
	a, err := l.past.Range(l.Context(), "a", from, to, nil)
	got := slices.Sorted(slices.Values(a.Value))
	if want := l.between(from, to); err != nil || !slices.Equal(got, want) {
		l.Errorf("from %v to %v: %d values, %v; want %d", from, to, len(got), err, len(want))
	}
}

// delete deletes from the store and from the list.
func (l *retaining) delete(from, to time.Time) error {
	d, err := bucket.NewDeleter(l.index, l.blobs)
	if err != nil {
		l.Fatal(err)
	}
	_, err = d.Delete(l.Context(), "a", from, to, &bucket.DeleteOptions{Wait: -1})
	if err == nil {
		for _, id := range l.between(from, to) {
			delete(l.added, id)
		}
	}
	return err
}

// stored returns the values that any roll-up holds.
func (l *retaining) stored() (v ids) {
	for key, err := range l.blobs.List(l.Context(), index.RollUpPrefix, math.MinInt64, math.MaxInt64) {
		found, err2 := l.blobs.Get(l.Context(), []string{key})
		var one ids
		if err = errors.Join(err, err2, json.Unmarshal(found[0], &one)); err != nil {
			l.Fatal(err)
		}
		v = append(v, one...)
	}
	return v
}

// expire removes entries and their blobs as a store's retention does.
func (l *retaining) expire(before time.Time) {
	l.Helper()
	for e, err := range l.index.Scan(l.Context(), "a", 0, before.UnixNano()) {
		if err == nil {
			err = errors.Join(l.index.Delete(index.Holding(l.Context()), index.RowAt("a", e.Time), []index.Entry{e}),
				l.blobs.Delete(l.Context(), []string{e.Key}))
		}
		if err != nil {
			l.Fatal(err)
		}
	}
}

// TestDeletedValuesLeaveTheRollUps deletes parts of spans that are rolled up. No
// roll-up in the store holds a deleted value, at once.
func TestDeletedValuesLeaveTheRollUps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := rolled(t, 25*time.Hour, &bucket.LevelOptions{})
		l.rollUp()
		begin := time.Now().Add(-26 * time.Hour)
		for _, cut := range [][2]time.Duration{{time.Minute, 2 * time.Minute}, {90 * time.Minute, 4 * time.Hour}, {30 * time.Second, 50 * time.Second}} {
			from, to := begin.Add(cut[0]), begin.Add(cut[1])
			deleted := l.between(from, to)
			if err := l.delete(from, to); err != nil {
				t.Fatal(err)
			}
			for _, v := range l.stored() {
				if slices.Contains(deleted, v) {
					t.Fatalf("a roll-up holds the value %d, which was deleted", v)
				}
			}
			l.want(begin, time.Now())
			time.Sleep(5 * time.Minute)
			if done := l.rollUp(); done.Built == 0 {
				t.Error("nothing is built again")
			}
			l.want(begin, time.Now())
		}
	})
}

// TestDeleteTenantTakesRollUps deletes a tenant, before and after retention has
// removed the entries of its roll-ups. Nothing of it may stay.
func TestDeleteTenantTakesRollUps(t *testing.T) {
	t.Parallel()
	for name, expired := range map[string]bool{"with entries": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := rolled(t, day, retained())
				l.rollUp()
				if expired {
					time.Sleep(4 * day)
					l.expire(time.Now().Add(-3 * day))
				}
				d, err := bucket.NewDeleter(l.index, l.blobs)
				if err != nil {
					t.Fatal(err)
				}
				const most = 24*60 + 24 + 1
				found, err := d.Find(t.Context(), "a", time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64))
				if err != nil || found.Entries > 0 == expired || found.RollUps != most || found.RollUpBytes == 0 {
					t.Errorf("found %+v, %v; want %d roll-ups", found, err, most)
				}
				done, err := d.DeleteTenant(t.Context(), "a", &bucket.DeleteOptions{Wait: -1})
				if err != nil || done.RollUps != most {
					t.Fatalf("deleted %+v, %v; want %d roll-ups", done, err, most)
				}
				if left := l.stored(); len(left) > 0 {
					t.Errorf("roll-ups hold %d deleted values", len(left))
				}
				clear(l.added)
				l.want(time.Now().Add(-7*day), time.Now())
			})
		})
	}
}

// retained are entries for 3 days, minutes for 6, hours for 10, days for ever.
func retained() *bucket.LevelOptions {
	return &bucket.LevelOptions{Retention: []bucket.Retention{{Level: 0, Keep: 3 * day}, {Level: time.Minute, Keep: 6 * day},
		{Level: time.Hour, Keep: 10 * day}, {Level: day}}}
}

// TestRetentionByLevel lets entries, minutes and hours expire in turn. Ranges are
// answered as long as they cut no longer span, and name the nearest that can be.
func TestRetentionByLevel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, begin := twoDays(t)
		for _, age := range []struct {
			days  float64
			level time.Duration // the shortest that is left of all that was stored
		}{{5.5, time.Minute}, {8.5, time.Hour}, {9.9, time.Hour}, {12.5, day}} {
			time.Sleep(time.Until(begin.Add(time.Duration(age.days * float64(day)))))
			l.expire(time.Now().Add(-3 * day))
			l.wantRetained(begin, age.level)
		}
	})
}

// wantRetained asks random ranges of the two days from begin on. Their level is
// the shortest that is left.
func (l *retaining) wantRetained(begin time.Time, level time.Duration) {
	l.Helper()
	r := rand.New(rand.NewPCG(uint64(level), 1))
	for range 40 {
		from := begin.Add(time.Duration(r.Int64N(int64(48 * time.Hour))).Truncate(10 * time.Second))
		to := from.Add(time.Duration(r.Int64N(int64(30 * time.Hour))).Truncate(10 * time.Second))
		near, end := from.Truncate(level), to.Add(level-1).Truncate(level)
		to, end = min2(to, begin.Add(48*time.Hour)), min2(end, begin.Add(48*time.Hour))
		if !from.Before(to) {
			continue
		}
		a, err := l.past.Range(l.Context(), "a", from, to, nil)
		coarser, refused := errors.AsType[*bucket.CoarserError](err)
		switch {
		case from.Equal(near) && to.Equal(end):
			l.want(from, to)
		case !refused || !coarser.NearestFrom.Equal(near) || !coarser.NearestTo.Equal(end):
			l.Errorf("level %v, from %v to %v: %d values, %v; want an error that names %v to %v", level, from, to, a.Entries, err, near, end)
		}
		has, err := l.past.Has(l.Context(), "a", from, min2(to, from.Add(5*time.Second)))
		if _, refused := errors.AsType[*bucket.CoarserError](err); !has && len(l.between(near, end)) > 0 && !refused && level > time.Minute {
			l.Errorf("level %v, five seconds from %v on: nothing is there, %v", level, from, err)
		}
		a, err = l.past.Range(l.Context(), "a", from, to, &bucket.RangeOptions{Round: true})
		got := slices.Sorted(slices.Values(a.Value))
		if err != nil || !a.From.Equal(near) || !a.To.Equal(end) || !slices.Equal(got, l.between(near, end)) {
			l.Errorf("level %v, rounded from %v to %v: %d values from %v to %v, %v; want %d", level, from, to, len(got), a.From, a.To, err, len(l.between(near, end)))
		}
	}
}

func min2(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// TestAddRefusesWhatRetentionRemoves adds values about as old as entries are kept, to
// spans without a roll-up: where the collector's options say how long, and where
// only the index does.
func TestAddRefusesWhatRetentionRemoves(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		own, published *bucket.LevelOptions
		keep           time.Duration
	}{
		"own options":        {own: retained(), keep: 3 * 24 * time.Hour},
		"the index's":        {published: retained(), keep: 3 * 24 * time.Hour},
		"kept for ever":      {own: &bucket.LevelOptions{}, published: &bucket.LevelOptions{}},
		"levels are off":     {},
		"the index has more": {own: &bucket.LevelOptions{}, published: retained(), keep: 3 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := rolled(t, 0, cmp.Or(c.published, &bucket.LevelOptions{}))
				if c.published != nil {
					l.rollUp()
				}
				store, err := tiered.New(idCodec{}, l.blobs, nil)
				if err != nil {
					t.Fatal(err)
				}
				col, err := bucket.NewCollector(l.index, store, mergeIDs, &bucket.CollectorOptions[ids]{Past: bucket.QuantizerOptions[ids]{Levels: c.own}})
				if err != nil {
					t.Fatal(err)
				}
				defer col.Close(context.WithoutCancel(t.Context()))
				keep := cmp.Or(c.keep, 3*24*time.Hour)
				if err := col.Add(t.Context(), "a", ids{1}, &bucket.AddOptions{At: time.Now().Add(-keep)}); err != nil {
					t.Errorf("a value of an entry's age was refused: %v", err)
				}
				at := time.Now().Add(-keep - time.Nanosecond)
				err = col.Add(t.Context(), "a", ids{2}, &bucket.AddOptions{At: at})
				if old, ok := errors.AsType[*bucket.InstantError](err); ok != (c.keep > 0) || ok && !old.At.Equal(at) {
					t.Errorf("a value that is older: %v", err)
				}
			})
		})
	}
}

// lose removes the blobs of all roll-ups of a level.
func (l *retaining) lose(level time.Duration) {
	l.Helper()
	prefix := fmt.Sprint(index.RollUpPrefix, int64(level/time.Second), "/")
	for key, err := range l.blobs.List(l.Context(), prefix, math.MinInt64, math.MaxInt64) {
		if err = errors.Join(err, l.blobs.Delete(l.Context(), []string{key})); err != nil {
			l.Fatal(err)
		}
	}
}

// TestLostRollUpsOfFinalSpans loses roll-ups whose entries are gone. The level
// below answers as long as it holds all, and then nothing does.
func TestLostRollUpsOfFinalSpans(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := rolled(t, day, retained())
		begin := time.Now().Truncate(day).Add(-day)
		l.rollUp()
		time.Sleep(4 * day)
		l.expire(time.Now().Add(-3 * day))
		for _, level := range []time.Duration{day, time.Hour} {
			l.lose(level)
			l.want(begin, begin.Add(day))
		}
		l.lose(time.Minute)
		if a, err := l.past.Range(l.Context(), "a", begin, begin.Add(day), nil); err == nil {
			t.Errorf("%d values are the answer where all roll-ups are lost", a.Entries)
		}
	})
}
