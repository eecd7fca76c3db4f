package tiered

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/internal/gate"
	"github.com/timeblob/timeblob/internal/guard"
)

// decoder turns blobs into values, several at a time but never more than its
// slots over all callers. A decoding that takes longer than maxDecoding does not count.
type decoder[T any] struct {
	codec    Codec[T]
	parallel int
	slots    *gate.Room
}

// maxDecoding is how long a decoding has a slot when others wait for one: it may never
// end, since the codec is the user's.
const maxDecoding = 10 * time.Second

func newDecoder[T any](codec Codec[T], parallel int) *decoder[T] {
	return &decoder[T]{codec, parallel, gate.NewRoom(int64(parallel), maxDecoding)}
}

// decoding is a blob on its way to a value.
type decoding[T any] struct {
	index int      // of its ref
	sum   blob.Sum // that the blob must have; zero when it is unknown
	blob  []byte
	value T
	err   error // the codec's, or the context's
	slot  gate.Lease
}

// all decodes blobs in place and returns when each has a value or an error.
func (d *decoder[T]) all(ctx context.Context, blobs []decoding[T]) {
	var next atomic.Int64
	work := func() {
		for i := next.Add(1) - 1; i < int64(len(blobs)); i = next.Add(1) - 1 {
			d.one(ctx, &blobs[i])
		}
	}
	var wg sync.WaitGroup
	for range min(len(blobs), d.parallel) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

// one checks and decodes a blob when a slot is free.
func (d *decoder[T]) one(ctx context.Context, p *decoding[T]) {
	if p.err = d.slots.Take(ctx, 1, &p.slot); p.err != nil {
		return
	}
	defer p.slot.End()
	if ctx.Err() != nil { // a free slot is had at once, also then
		p.err = ctx.Err()
		return
	}
	if p.sum.Known() {
		if sum := blob.SumOf(p.blob); sum != p.sum {
			p.err = fmt.Errorf("the bytes have the sum %v, the index says %v", sum, p.sum)
			return
		}
	}
	p.value, p.err = d.decode(p.blob)
}

// decode contains a codec that panics in spite of its promise: bytes that came
// from outside must not end the process.
func (d *decoder[T]) decode(blob []byte) (v T, err error) {
	defer guard.Recover("decode", &err)
	return d.codec.Decode(blob)
}
