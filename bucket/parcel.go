package bucket

import (
	"fmt"
	"sync/atomic"

	"github.com/timeblob/timeblob/internal/lru"
)

// Decoder is a blob store that can decode what it encodes. A collector on one
// keeps values as their blobs, which take a fraction of the memory, until
// somebody asks for them.
type Decoder[T any] interface {
	// Decode returns the value of a blob, which it does not keep. The value
	// is shared: nobody may change it.
	Decode(blob []byte) (T, error)
}

// parcel is a value of the live window: at rest as its blob, or open. Its form
// may change at any time, what it is never does.
type parcel[T any] struct{ form atomic.Pointer[form[T]] }

// form is a parcel at a moment.
type form[T any] struct {
	value T
	open  bool   // value is there
	blob  []byte // nil while there is none
}

// packed returns a parcel at rest.
func packed[T any](blob []byte) *parcel[T] {
	p := &parcel[T]{}
	p.form.Store(&form[T]{blob: blob})
	return p
}

// opened returns an open parcel.
func opened[T any](v T) *parcel[T] {
	p := &parcel[T]{}
	p.form.Store(&form[T]{value: v, open: true})
	return p
}

func (p *parcel[T]) blob() []byte { return p.form.Load().blob }

func (p *parcel[T]) isOpen() bool { return p.form.Load().open }

// settle puts a parcel to rest as its blob.
func (p *parcel[T]) settle(blob []byte) { p.form.Store(&form[T]{blob: blob}) }

// packing knows how values become parcels and parcels become values.
type packing[T any] struct {
	merge   Merge[T]
	decoder Decoder[T] // nil: parcels are never at rest
	size    func(T) int64

	// lately holds the values of parcels at rest that were asked for lately:
	// who is asked about is mostly asked about again. It may be nil.
	lately *lru.Cache[*parcel[T], T]
}

func newPacking[T any](blobs Blobs[T], merge Merge[T], opts *CollectorOptions[T]) (pk packing[T], err error) {
	pk = packing[T]{merge: merge, size: opts.Size}
	pk.decoder, _ = blobs.(Decoder[T])
	if pk.decoder != nil && opts.LiveCacheBytes > 0 {
		pk.lately, err = lru.New[*parcel[T], T](opts.LiveCacheBytes, &lru.Options{TTL: opts.Window, Now: opts.Now})
	}
	return pk, err
}

// value returns what a parcel holds.
func (pk *packing[T]) value(p *parcel[T]) (T, error) {
	f := p.form.Load()
	if f.open {
		return f.value, nil
	}
	if v, ok := pk.lately.Get(p); ok {
		return v, nil
	}
	v, err := pk.decode(f.blob)
	if err == nil {
		pk.lately.Add(p, v, pk.size(v)+int64(len(f.blob)))
	}
	return v, err
}

func (pk *packing[T]) decode(blob []byte) (T, error) {
	v, err := pk.decoder.Decode(blob)
	if err != nil {
		return v, fmt.Errorf("decode a value that is held as its blob of %d bytes: %w", len(blob), err)
	}
	return v, nil
}

// values returns what parcels hold.
func (pk *packing[T]) values(parcels []*parcel[T]) ([]T, error) {
	values, errs := make([]T, len(parcels)), make([]error, len(parcels))
	inParallel(len(parcels), func(i int) { values[i], errs[i] = pk.value(parcels[i]) })
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return values, nil
}

// join is the merge of parcels.
func (pk *packing[T]) join(parts []*parcel[T]) (*parcel[T], error) {
	values, err := pk.values(parts)
	if err != nil {
		return nil, err
	}
	v, err := pk.merge(values)
	if err != nil {
		return nil, err
	}
	return opened(v), nil
}

// openWindow returns the value of a window, if it has one, as a list.
func (pk *packing[T]) openWindow(window cell[*parcel[T]]) ([]T, error) {
	if window.err != nil {
		return nil, window.err
	}
	return pk.values(window.parts())
}
