package bucket_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// hookedCodec is idCodec that calls encoding before it encodes.
type hookedCodec struct {
	idCodec
	encoding func()
}

func (h *hookedCodec) Encode(v ids) ([]byte, error) {
	h.encoding()
	return h.idCodec.Encode(v)
}

// TestATickIsProvenByALaterAdd has the client give up that added the value by which a tick
// is to be proven, while the tenant's lock is busy. The next value proves the tick.
func TestATickIsProvenByALaterAdd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		released := make(chan struct{})
		ctx, giveUp := context.WithCancel(t.Context())
		var busy sync.WaitGroup
		var c *bucket.Collector[ids]
		encodes := 0
		codec := &hookedCodec{encoding: func() {
			if encodes++; encodes > 1 {
				return
			}
			busy.Go(func() { mustAdd(t, c, "a", -2) })
			synctest.Wait()
			giveUp()
		}}
		merge := func(parts []ids) (ids, error) {
			if last := parts[len(parts)-1]; len(last) == 1 && last[0] == -2 {
				<-released
			}
			return mergeIDs(parts)
		}
		blobs, err := tiered.New(codec, new(tiered.MemTier), nil)
		if err == nil {
			c, err = bucket.NewCollector(index.NewMemIndex(), blobs, merge, &bucket.CollectorOptions[ids]{})
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range 70 {
			if encodes == 0 {
				if err := c.Add(ctx, "a", ids{i}, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		if encodes != 1 || ctx.Err() == nil {
			t.Fatalf("%d encodings of a tick of 70 values", encodes)
		}
		close(released)
		busy.Wait()
		mustAdd(t, c, "a", 100)
		if encodes != 2 {
			t.Errorf("%d encodings: the tick is not proven any more", encodes)
		}
	})
}
