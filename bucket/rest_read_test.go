package bucket_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
)

// pausing is an index that calls after once, when it has read and before it returns.
type pausing struct {
	index.Index
	after atomic.Pointer[func()]
}

func (p *pausing) Query(ctx context.Context, row index.Row, from, to int64) ([]index.Entry, error) {
	found, err := p.Index.Query(ctx, row, from, to)
	if after := p.after.Swap(nil); after != nil {
		(*after)()
	}
	return found, err
}

// deleting is a pausing index that deletes.
type deleting struct {
	*pausing
	index.Deleter
}

// TestAQuestionReadsValuesThatLeaveMeanwhile has values whose blobs are stored, and
// whose entries wait for longer than the window, rest in the journal. They become
// discoverable, or are deleted, after a question has read the index, and the journal ends
// their records.
func TestAQuestionReadsValuesThatLeaveMeanwhile(t *testing.T) {
	t.Parallel()
	for _, deleted := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) { askWhileValuesLeave(t, deleted) })
	}
}

func askWhileValuesLeave(t *testing.T, deleted bool) {
	t.Helper()
	d, j := newDeletable(t), newMemJournal()
	idx := &pausing{Index: d.rows}
	c, err := bucket.NewCollector(deleting{idx, d.rows}, d.blobs, mergeIDs, &bucket.CollectorOptions[ids]{Journal: j, MergeLater: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	d.rows.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken})
	from, to, then := time.Now(), time.Now().Add(time.Minute), upTo(3)
	mustAdd(t, c, "a", 0, 1)
	time.Sleep(10 * time.Second)
	mustAddBlob(t, c, "a", 2)
	time.Sleep(5 * time.Minute)
	leave := func() {
		d.rows.Heal()
		if deleted {
			then = nil
			if _, err := c.Delete(t.Context(), "a", from, to, now); err != nil {
				t.Error(err)
			}
		} else {
			time.Sleep(2 * time.Minute) // until each has been tried again
		}
		if n := j.live(); n != 0 {
			t.Errorf("%d records are left in the journal", n)
		}
	}
	idx.after.Store(&leave)
	a, err := c.Range(t.Context(), "a", from, to, nil)
	wantIDs(t, "meanwhile", a, err, upTo(3))
	a, err = c.Range(t.Context(), "a", from, to, nil)
	wantIDs(t, "then", a, err, then)
	stop()
	<-ran
}
