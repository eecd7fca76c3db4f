package bucket_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
)

// killedLater is a source that is killed after its first answer. Its successor has stored everything before the
// index is read.
type killedLater struct {
	t      *testing.T
	stores *stores
	log    *memJournal
	now    *bucket.Collector[ids]
	killed bool
}

func (k *killedLater) Held(ctx context.Context, tenant string, from, to time.Time) (bucket.Held[ids], error) {
	held, err := k.now.Held(ctx, tenant, from, to)
	if k.killed {
		return held, err
	}
	k.killed = true
	time.Sleep(100 * time.Millisecond)
	k.log = k.log.afterKill(0)
	k.now = k.stores.collector(k.t, journaled(k.log))
	time.Sleep(100 * time.Millisecond)
	if err := k.now.Flush(ctx); err != nil {
		k.t.Error(err)
	}
	return held, err
}

// TestAKillDuringAQuestion kills a collector between a querier's look at it and the look at the index. The value
// that it held, in the open tick or sealed and not tried yet, was stored by its successor and counts once.
func TestAKillDuringAQuestion(t *testing.T) {
	t.Parallel()
	for _, sealed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newStores(t)
			k := &killedLater{t: t, stores: s, log: newMemJournal()}
			k.now = s.collector(t, journaled(k.log))
			mustAdd(t, k.now, "a", 1)
			time.Sleep(50 * time.Millisecond)
			if sealed {
				ended, end := context.WithCancel(t.Context())
				end()
				_ = k.now.Flush(ended)
				time.Sleep(50 * time.Millisecond)
			}
			q, err := bucket.NewQuerier(s.index, s.blobs, mergeIDs, nil)
			if err != nil {
				t.Fatal(err)
			}
			a, err := q.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), []bucket.Source[ids]{k}, nil)
			wantIDs(t, "sealed or not", a, err, ids{1})
			wantIDs(t, "stored", s.stored(t, "a"), nil, ids{1})
		})
	}
}

// TestARestingValueMoves stores a value's blob and lets the index fail until the value rests in the journal. Then its
// instant is taken, and it is stored again under another key: with its blob.
func TestARestingValueMoves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStores(t)
		sizes := make(chan int, 1)
		c := s.collector(t, &bucket.CollectorOptions[ids]{Journal: newMemJournal(), Stored: func(_ string, _ index.Entry, size int) { sizes <- size }})
		go func() { _ = c.Run(context.Background()) }()
		s.index.Inject(faulttest.Fault{Op: faulttest.Put})
		mustAdd(t, c, "a", 7)
		time.Sleep(2 * time.Minute)
		held, err := c.Held(t.Context(), "a", time.Now().Add(-time.Hour), time.Now())
		if err != nil || len(held.Sealed) != 1 || c.Pending() < 600 || c.Pending() > 700 {
			t.Fatalf("held %+v, %v; %d bytes are pending", held, err, c.Pending())
		}
		at := held.Sealed[0].Entry.Time
		s.index.Heal()
		row := index.RowAt("a", at)
		if err := s.tier.Put(t.Context(), "other", []byte("[8]")); err != nil {
			t.Fatal(err)
		}
		if err := s.index.Put(t.Context(), row, index.Entry{Time: at, Key: "other"}); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if size := <-sizes; size != len("[7]") {
			t.Errorf("a blob of %d bytes was stored", size)
		}
		wantIDs(t, "stored", s.stored(t, "a"), nil, ids{7, 8})
	})
}
