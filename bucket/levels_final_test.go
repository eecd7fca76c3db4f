package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// TestFinalSpans adds to, and deletes from, spans that only a roll-up is left of.
func TestFinalSpans(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, begin := twoDays(t)
		time.Sleep(4*day - 2*time.Hour)
		l.expire(time.Now().Add(-3 * day))
		store, err := tiered.New(idCodec{}, l.blobs, nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := bucket.NewCollector(l.index, store, mergeIDs, &bucket.CollectorOptions[ids]{Past: bucket.QuantizerOptions[ids]{Levels: retained()}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(context.WithoutCancel(t.Context()))
		err = c.Add(t.Context(), "a", ids{-1}, &bucket.AddOptions{At: begin.Add(25 * time.Hour)})
		if _, final := errors.AsType[*bucket.FinalError](err); !final {
			t.Errorf("a value of a final span was added, error %v", err)
		}
		err = l.delete(begin.Add(time.Hour), begin.Add(2*time.Hour))
		if final, ok := errors.AsType[*bucket.FinalError](err); !ok || !final.From.Equal(begin) || !final.To.Equal(begin.Add(day)) {
			t.Errorf("an hour of a final day was deleted, error %v", err)
		}
		l.want(begin, begin.Add(2*day))
		if err := l.delete(begin, begin.Add(day)); err != nil {
			t.Errorf("a final day was not deleted: %v", err)
		}
		l.want(begin, begin.Add(2*day))
		for _, v := range l.stored() {
			if _, kept := l.added[v]; !kept {
				t.Fatalf("a roll-up holds the value %d, which was deleted", v)
			}
		}
	})
}

// TestARefusedDeletionDropsNothing deletes a range that cuts a final span from a collector
// that holds a value of the range.
func TestARefusedDeletionDropsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, begin := twoDays(t)
		time.Sleep(4*day - 2*time.Hour)
		c := l.collector(l.blobs, nil)
		mustAdd(t, c, "a", 7)
		_, err := c.Delete(t.Context(), "a", begin.Add(time.Hour), time.Now().Add(time.Hour), &bucket.DeleteOptions{Wait: -1})
		if _, final := errors.AsType[*bucket.FinalError](err); !final {
			t.Errorf("error %v", err)
		}
		v, err := c.Recent(t.Context(), "a")
		wantIDs(t, "live", v, err, ids{7})
		from := time.Now()
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		a, err := l.past.Range(t.Context(), "a", from, from.Add(time.Hour), nil)
		wantIDs(t, "stored", a, err, ids{7})
	})
}

// collector returns a collector on the store.
func (l *retaining) collector(tier tiered.Tier, failed func(string, ids, error)) *bucket.Collector[ids] {
	l.Helper()
	return l.collectorOn(l.index, tier, failed)
}

func (l *retaining) collectorOn(idx index.Index, tier tiered.Tier, failed func(string, ids, error)) *bucket.Collector[ids] {
	l.Helper()
	store, err := tiered.New(idCodec{}, tier, nil)
	if err != nil {
		l.Fatal(err)
	}
	c, err := bucket.NewCollector(idx, store, mergeIDs, &bucket.CollectorOptions[ids]{Failed: failed,
		Past: bucket.QuantizerOptions[ids]{Levels: retained()}})
	if err != nil {
		l.Fatal(err)
	}
	return c
}

// TestATickThatCameTooLateIsGivenUpOnce delivers a tick of three values when its span is
// final. One attempt is made, and Failed is told of each value.
func TestATickThatCameTooLateIsGivenUpOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := rolled(t, 2*day, retained())
		tier := faulttest.NewTier(l.blobs, 1)
		var failed []ids
		c := l.collector(tier, func(_ string, v ids, err error) {
			if _, final := errors.AsType[*bucket.FinalError](err); !final {
				t.Errorf("failed with %v", err)
			}
			failed = append(failed, v)
		})
		mustAdd(t, c, "a", -1, -2, -3)
		tier.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken})
		late, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Flush(late); err == nil {
			t.Fatal("flushed in spite of the fault")
		}
		time.Sleep(day)
		l.put(time.Now().Add(-day)) // beside the tick, so that its spans have roll-ups
		time.Sleep(day)
		l.rollUp()
		time.Sleep(6 * day)
		tier.Heal()
		puts := 0
		tier.Decide(func(call faulttest.Call) (f faulttest.Fault) {
			if call.Op == faulttest.Put {
				puts++
			}
			return f
		})
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(failed) != "[[-1] [-2] [-3]]" || puts > 1 {
			t.Errorf("failed was told %v, after %d puts", failed, puts)
		}
	})
}

// TestAValueThatCameTooLateLeavesNoBlob stores the blobs of values whose entries the index
// then refuses until their spans are final. The blob of the value that is given up is
// deleted. An entry that the index has taken in spite of its error keeps its blob.
func TestAValueThatCameTooLateLeavesNoBlob(t *testing.T) {
	t.Parallel()
	for _, landed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := rolled(t, 2*day, retained())
			idx := faulttest.NewLevels(l.index, 1)
			var failed []ids
			c := l.collectorOn(idx, l.blobs, func(_ string, v ids, err error) { failed = append(failed, v) })
			begun := time.Now()
			mustAdd(t, c, "a", -1)
			idx.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken, Applied: landed})
			late, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := c.Flush(late); err == nil {
				t.Fatal("flushed in spite of the fault")
			}
			time.Sleep(day)
			l.put(time.Now().Add(-day)) // beside the value, so that its spans have roll-ups
			time.Sleep(day)
			l.rollUp()
			time.Sleep(6 * day)
			before := l.blobs.Len()
			idx.Heal()
			if err := c.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			gone := before - l.blobs.Len()
			entries, err := l.past.Entries(t.Context(), "a", begun, begun.Add(50*time.Millisecond))
			if landed && (gone != 0 || len(failed) != 0 || len(entries) != 1) || !landed && (gone != 1 || len(failed) != 1 || len(entries) != 0) || err != nil {
				t.Errorf("landed %v: %d blobs gone, failed %v, entries %v, %v", landed, gone, failed, entries, err)
			}
		})
	}
}
