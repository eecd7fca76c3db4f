package tiered

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
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

// parcel is a blob on its way to a value.
type parcel[T any] struct {
	index int // of its key
	blob  []byte
	value T
	err   error // the codec's, or the context's
}

// all decodes parcels in place and returns when each has a value or an error.
func (d *decoder[T]) all(ctx context.Context, parcels []parcel[T]) {
	var next atomic.Int64
	work := func() {
		for i := next.Add(1) - 1; i < int64(len(parcels)); i = next.Add(1) - 1 {
			d.one(ctx, &parcels[i])
		}
	}
	var wg sync.WaitGroup
	for range min(len(parcels), cap(d.slots)) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

// one decodes a parcel when a slot is free.
func (d *decoder[T]) one(ctx context.Context, p *parcel[T]) {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		p.err = ctx.Err()
		return
	}
	p.value, p.err = d.decode(p.blob)
}

// decode contains a codec that panics in spite of its promise: bytes that came
// from outside must not end the process.
func (d *decoder[T]) decode(blob []byte) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the codec panicked: %v", p)
		}
	}()
	return d.codec.Decode(blob)
}
