package bucket

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/lru"
	"github.com/timeblob/timeblob/internal/readthrough"
)

// QuantizerOptions tune a Quantizer; nil or a zero field means the default.
type QuantizerOptions[T any] struct {
	// Quantum is the length of the slices of time, aligned to the Unix epoch,
	// of which merges are cached. Default 3 s, at least 1 ms. Ranges need not
	// be aligned to it.
	Quantum time.Duration
	// Grace is how long a quantum must have ended for its merge to be worth
	// caching, since entries may still come in. It only saves work: a cached
	// merge is used for exactly the entries it was made of, however late
	// others come. Default 500 ms; negative for every quantum to be cached.
	Grace time.Duration
	// CacheBytes bounds the memory of the merged quanta that are kept.
	// Default 64 MiB; negative for none.
	CacheBytes int64
	// Size is how many bytes of memory a value takes; a value of which it is
	// not positive is not cached. It may be called by several goroutines at a
	// time. Default the length of its blob, which costs an Encode for every
	// value that is cached.
	Size func(T) int64
	// Rows is how many rows of the index a question reads at a time.
	// Default 16.
	Rows int
	// Batch is how many blobs a question fetches at a time, and so about how
	// many values it holds in memory beside the merge of those before them; a
	// quantum that has more entries is fetched at once all the same.
	// Default 256.
	Batch int
	// MaxEntries bounds the entries of one range; one that has more is
	// refused with a TooManyError. Default 1 000 000.
	MaxEntries int

	// Registerer takes the metrics; nil for none. Quantizers that share it
	// and the namespace count together. Namespace leads the metrics' names;
	// default "timeblob".
	Registerer prometheus.Registerer
	Namespace  string
	// Now is the clock; default time.Now.
	Now func() time.Time
}

func (opts *QuantizerOptions[T]) withDefaults(blobs Blobs[T]) (QuantizerOptions[T], error) {
	o := QuantizerOptions[T]{}
	if opts != nil {
		o = *opts
	}
	orDefault(&o.Quantum, 3*time.Second)
	orDefault(&o.Grace, 500*time.Millisecond)
	orDefault(&o.CacheBytes, 64<<20)
	orDefault(&o.Rows, 16)
	orDefault(&o.Batch, 256)
	orDefault(&o.MaxEntries, 1_000_000)
	orDefault(&o.Namespace, "timeblob")
	if o.Size == nil {
		o.Size = blobSize(blobs)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	switch {
	case o.Quantum < time.Millisecond:
		return o, fmt.Errorf("quantizer: a quantum of %v: must be at least 1ms", o.Quantum)
	case o.Rows < 0 || o.Batch < 0 || o.MaxEntries < 0:
		return o, fmt.Errorf("quantizer: Rows %d, Batch %d and MaxEntries %d must not be negative", o.Rows, o.Batch, o.MaxEntries)
	}
	return o, nil
}

// Quantizer answers what the merge of a tenant's values in a range of time is,
// from the index and the blobs. It caches the merges of whole quanta, so that
// a question like an earlier one costs little more than reading the index.
// It is safe for any number of goroutines, starts none that outlives a call,
// and needs no closing.
//
// Every answer is exact for the entries that the index returned, or it is an
// error: of the index, of the store, of Merge, a MissingError for an entry
// without a blob, a TooManyError, a RangeError, or the context's. Answers are
// shared with the cache and with other callers: nobody may change them.
type Quantizer[T any] struct {
	index   index.Index
	blobs   Blobs[T]
	combine Merge[T]
	opts    QuantizerOptions[T]
	cache   *lru.Cache[quantumKey, T] // nil when nothing is to be kept
	flights readthrough.Group[quantumKey, T]
	metrics *quantMetrics
}

// quantumKey names the merge of some entries, which are all of one quantum.
// Equal keys mean equal entries, whatever ranges were asked for.
type quantumKey struct {
	tenant string
	number int64
	print  fingerprint
}

// NewQuantizer returns a Quantizer of the entries in index, of which blobs has
// the values. Merge may be called by several goroutines at a time. It returns
// an error when an option is out of its range or a metric cannot be
// registered.
func NewQuantizer[T any](idx index.Index, blobs Blobs[T], merge Merge[T], opts *QuantizerOptions[T]) (*Quantizer[T], error) {
	if idx == nil || blobs == nil || merge == nil {
		return nil, errors.New("quantizer: needs an index, blobs and a merge")
	}
	o, err := opts.withDefaults(blobs)
	if err != nil {
		return nil, err
	}
	q := &Quantizer[T]{index: idx, blobs: blobs, combine: merge, opts: o}
	if o.CacheBytes > 0 {
		if q.cache, err = lru.New[quantumKey, T](o.CacheBytes, &lru.Options{Now: o.Now}); err != nil {
			return nil, fmt.Errorf("quantizer: %w", err)
		}
	}
	if q.metrics, err = newQuantMetrics(o.Registerer, o.Namespace); err != nil {
		return nil, fmt.Errorf("quantizer: metrics: %w", err)
	}
	return q, nil
}

// Range returns the merge of the tenant's values with from ≤ instant < to;
// the zero value of T when there are none. It reads every row of the index
// that the range touches, makes at most one call of Blobs.Get for each Batch of
// entries unless another caller whose fetch it waits for gives up, and merges
// what is not cached.
func (q *Quantizer[T]) Range(ctx context.Context, tenant string, from, to time.Time) (v T, err error) {
	a, b, err := span(from, to)
	if err != nil {
		return v, err
	}
	entries, err := q.entries(ctx, tenant, a, b)
	if err != nil {
		return v, err
	}
	return q.merge(ctx, tenant, entries, a, b)
}

// Entries returns the tenant's entries with from ≤ Time < to in ascending
// order of Time. The slice is the caller's.
func (q *Quantizer[T]) Entries(ctx context.Context, tenant string, from, to time.Time) ([]index.Entry, error) {
	a, b, err := span(from, to)
	if err != nil {
		return nil, err
	}
	return q.entries(ctx, tenant, a, b)
}

// Has tells whether the tenant has entries with from ≤ Time < to. It starts
// no further row of the index once it knows of one.
func (q *Quantizer[T]) Has(ctx context.Context, tenant string, from, to time.Time) (bool, error) {
	a, b, err := span(from, to)
	if err != nil {
		return false, err
	}
	return q.has(ctx, tenant, a, b)
}
