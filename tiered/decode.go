package tiered

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/internal/guard"
)

// decoder turns blobs into values, several at a time but never more than its
// slots over all callers.
type decoder[T any] struct {
	codec Codec[T]
	slots chan struct{}
}

func newDecoder[T any](codec Codec[T], parallel int) *decoder[T] {
	return &decoder[T]{codec: codec, slots: make(chan struct{}, parallel)}
}

// decoding is a blob on its way to a value.
type decoding[T any] struct {
	index int      // of its ref
	sum   blob.Sum // that the blob must have; zero when it is unknown
	blob  []byte
	value T
	err   error // the codec's, or the context's
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
	for range min(len(blobs), cap(d.slots)) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

// one checks and decodes a blob when a slot is free.
func (d *decoder[T]) one(ctx context.Context, p *decoding[T]) {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		p.err = ctx.Err()
		return
	}
	if ctx.Err() != nil { // both were ready
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
