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

// TestAQuestionReadsValuesThatAreStoredMeanwhile has values whose blobs are stored, and
// whose entries wait for longer than the window, rest in the journal. They become
// discoverable after a question has read the index, and the journal ends their records.
func TestAQuestionReadsValuesThatAreStoredMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, j := newStores(t), newMemJournal()
		idx := &pausing{Index: s.index}
		c, err := bucket.NewCollector(idx, s.blobs, mergeIDs, &bucket.CollectorOptions[ids]{Journal: j, MergeLater: true})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- c.Run(ctx) }()
		s.index.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken})
		begun := time.Now()
		mustAdd(t, c, "a", 0, 1)
		time.Sleep(10 * time.Second)
		mustAddBlob(t, c, "a", 2)
		time.Sleep(5 * time.Minute)
		stored := func() {
			s.index.Heal()
			time.Sleep(2 * time.Minute) // until each has been tried again
			if n := j.live(); n != 0 {
				t.Errorf("%d records are left in the journal", n)
			}
		}
		idx.after.Store(&stored)
		a, err := c.Range(t.Context(), "a", begun, begun.Add(time.Minute), nil)
		wantIDs(t, "meanwhile", a, err, upTo(3))
		a, err = c.Range(t.Context(), "a", begun, begun.Add(time.Minute), nil)
		wantIDs(t, "then", a, err, upTo(3))
		stop()
		<-ran
	})
}
