package bucket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"runtime/debug"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/bucket/internal/plan"
	"github.com/timeblob/timeblob/bucket/internal/rollup"
	"github.com/timeblob/timeblob/index"
)

// QuantizerOptions tune a Quantizer; nil or a zero field means the default.
type QuantizerOptions[T any] struct {
	// Quantum is the length of the slices of time, aligned to the Unix epoch,
	// whose merges are cached. The merges of minutes, hours and days, or of the
	// index's levels, are cached too. Default 3 s, at least 1 ms. Ranges need not be
	// aligned to it. A quantum with one entry takes no room in the cache.
	Quantum time.Duration
	// Grace is how long a quantum must have ended for its merge to be worth
	// caching, since entries may still come in. It only saves work: a cached
	// merge is used for exactly the entries it was made of, however late
	// others come. Default 500 ms; negative for every quantum to be cached.
	Grace time.Duration
	// CacheBytes bounds the memory of the merges that are kept: of quanta, and
	// of whole questions. What was read of an index.Versioned takes an eighth more.
	// Default 64 MiB; negative for none.
	CacheBytes int64
	// MaxDecodedBytes bounds the memory of the values that all questions
	// together are reading and merging. A question beyond it waits, with its
	// context, before it reads. Default a quarter of GOMEMLIMIT, or 1 GiB
	// without one. Answers themselves do not count. A question that does not end
	// stops counting: see StuckError.
	MaxDecodedBytes int64
	// Size is how many bytes of memory a value takes; a value is not cached
	// when it is not positive. Several goroutines may call it at a time. By
	// default the quantizer measures some of the values that it reads, with
	// reflection, and learns from them how much memory a byte of a blob takes.
	// What the options bound is then kept within about a third.
	Size func(T) int64
	// Clone returns an independent copy of a value. Set it for types whose encoding
	// writes to the value: a merge is then cloned before it is encoded as a roll-up.
	// A Collector gives its own.
	Clone func(T) T
	// Equal reports whether two values mean the same. RollUp with Verify compares
	// the roll-ups with the merges of their entries by it. Set it for types whose merge
	// of merges has other bytes than the merge of all, as a sum of floating-point numbers
	// may. Several goroutines may call it at a time. Default: their blobs are equal.
	Equal func(a, b T) bool
	// Rows is how many rows of the index a question reads at a time.
	// Default 16.
	Rows int
	// Batch is how many blobs a question fetches at a time, and so about how
	// many values it holds in memory beside the merge of the values before
	// them. Default 256.
	Batch int
	// MaxEntries bounds the entries of one range. A range that has more is
	// refused with a *TooManyError. Default 1 000 000.
	MaxEntries int
	// Levels says which roll-ups are built and for how long they are kept. Nil
	// builds none; what an index says about its levels is obeyed all the same.
	Levels *LevelOptions

	// Registerer takes the metrics; nil for none. Quantizers that share it
	// and the namespace count together. Namespace leads the metrics' names;
	// default "timeblob".
	Registerer prometheus.Registerer
	Namespace  string
	// Now is the clock; default time.Now.
	Now func() time.Time
}

func (opts *QuantizerOptions[T]) withDefaults() (QuantizerOptions[T], error) {
	o := QuantizerOptions[T]{}
	if opts != nil {
		o = *opts
	}
	orDefault(&o.Quantum, 3*time.Second)
	orDefault(&o.Grace, 500*time.Millisecond)
	orDefault(&o.CacheBytes, 64<<20)
	orDefault(&o.MaxDecodedBytes, decodedBytes())
	orDefault(&o.Rows, 16)
	orDefault(&o.Batch, 256)
	orDefault(&o.MaxEntries, 1_000_000)
	orDefault(&o.Namespace, "timeblob")
	if o.Now == nil {
		o.Now = time.Now
	}
	switch {
	case o.Quantum < time.Millisecond:
		return o, fmt.Errorf("quantizer: a quantum of %v: must be at least 1ms", o.Quantum)
	case o.Rows < 0 || o.Batch < 0 || o.MaxEntries < 0 || o.MaxDecodedBytes < 0:
		return o, fmt.Errorf("quantizer: Rows %d, Batch %d, MaxEntries %d and MaxDecodedBytes %d must not be negative",
			o.Rows, o.Batch, o.MaxEntries, o.MaxDecodedBytes)
	}
	if o.Levels != nil {
		l, err := o.Levels.withDefaults()
		if err != nil {
			return o, fmt.Errorf("quantizer: %w", err)
		}
		o.Levels = &l
	}
	return o, nil
}

// codec returns the version of the codec.
func (o *QuantizerOptions[T]) codec() int {
	if o.Levels == nil {
		return 0
	}
	return o.Levels.Codec
}

// decodedBytes is the default of MaxDecodedBytes.
func decodedBytes() int64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return max(limit/4, 1<<20)
	}
	return 1 << 30
}

// Quantizer answers questions about a tenant's stored values, from the index and
// the blobs. It caches the merges of whole quanta and of whole questions, so
// that a question like an earlier one costs little more than reading the index.
// It is safe for any number of goroutines, starts none that outlives a call,
// and needs no closing.
//
// Every answer is exact for the entries that the index returned, or it is an
// error: of the index or the store, a *MissingError for an entry without a
// blob, a *MergeError for values that the merge function refuses, a
// *TooManyError, a *RangeTooLargeError, a *RangeError, an *index.TenantError, a
// *CoarserError where retention has left only roll-ups, or the context's. A question
// with RangeOptions.Partial leaves out the values that cannot be read or merged
// and names them. A question ends within one decoding or one call of the merge
// function, which gets at most 64 parts, when its context ends. Answers are
// shared with the cache and with other callers: nobody may change them.
type Quantizer[T any] struct {
	past     *plan.Past[T]
	index    index.Index
	blobs    Blobs[T]
	protocol *levels.Protocol // nil where the index offers no places
	builder  *rollup.Builder  // nil where nothing is built
	opts     QuantizerOptions[T]
}

// NewQuantizer returns a Quantizer of the entries in index, whose values are in
// blobs. Several goroutines may call merge at a time. It returns an error when
// an option is out of its range or a metric cannot be registered.
func NewQuantizer[T any](idx index.Index, blobs Blobs[T], merge Merge[T], opts *QuantizerOptions[T]) (*Quantizer[T], error) {
	if idx == nil || blobs == nil || merge == nil {
		return nil, errors.New("quantizer: needs an index, blobs and a merge")
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	metrics, err := plan.NewMetrics(o.Registerer, o.Namespace)
	if err != nil {
		return nil, fmt.Errorf("quantizer: metrics: %w", err)
	}
	protocol, err := protocolOf(idx, o.Levels, o.Now)
	if err != nil {
		return nil, fmt.Errorf("quantizer: %w", err)
	}
	q := &Quantizer[T]{index: idx, blobs: blobs, protocol: protocol, opts: o}
	if q.builder, err = q.builderOf(); err != nil {
		return nil, fmt.Errorf("quantizer: %w", err)
	}
	q.past, err = plan.New(idx, blobs, merge, plan.Options[T]{Quantum: o.Quantum, Grace: o.Grace, CacheBytes: o.CacheBytes,
		Size: o.Size, Rows: o.Rows, Batch: o.Batch, MaxEntries: o.MaxEntries, Budget: o.MaxDecodedBytes, Metrics: metrics, Now: o.Now,
		Levels: protocol, Codec: o.codec(), Offer: q.offer, Asked: q.asked})
	if err != nil {
		return nil, fmt.Errorf("quantizer: %w", err)
	}
	return q, nil
}

// Range returns the merge of the tenant's stored values with from ≤ instant
// < to. It takes the longest roll-ups that fit, reads the rows of the index
// between them, and makes at most one call of Blobs.Get for each Batch of blobs
// unless another caller whose fetch it waits for gives up. An index that is no
// index.Scanner is asked for every hour of the range, values or not: 8 766 queries a year
// on DynamoDB, beside roll-ups. What is neither
// cached nor worth caching is merged in one call.
func (q *Quantizer[T]) Range(ctx context.Context, tenant string, from, to time.Time, opts *RangeOptions) (Answer[T], error) {
	return q.RangeMany(ctx, []string{tenant}, from, to, opts)
}

// RangeMany returns the merge of the stored values of several tenants with
// from ≤ instant < to, which are fetched together. A tenant that repeats counts
// each time.
func (q *Quantizer[T]) RangeMany(ctx context.Context, tenants []string, from, to time.Time, opts *RangeOptions) (a Answer[T], err error) {
	return rounded(from, to, opts, func(from, to time.Time) (Answer[T], error) {
		return q.gatherAndAnswer(ctx, func() (g gathered[T], err error) {
			g.question, err = q.question(ctx, tenants, from, to, opts, reading{})
			return g, err
		})
	})
}

// question reads what a range is answered from.
func (q *Quantizer[T]) question(ctx context.Context, tenants []string, from, to time.Time, opts *RangeOptions, how reading) (x plan.Question[T], err error) {
	start, end, err := span(from, to)
	if err = cmp.Or(err, checkTenants(tenants)); err != nil {
		return x, err
	}
	series, err := q.past.SeriesOf(ctx, tenants, func(ctx context.Context, i int) (plan.Series, error) {
		return q.read(ctx, tenants[i], start, end, how, nil)
	})
	if err != nil {
		return x, err
	}
	o := opts.orDefault()
	return plan.Question[T]{Series: series, From: start, To: end, Partial: o.Partial, MaxBytes: o.MaxBytes}, nil
}

func (q *Quantizer[T]) answer(ctx context.Context, x plan.Question[T]) (Answer[T], error) {
	a, err := q.past.Answer(ctx, x)
	return answerOf(a), err
}

func answerOf[T any](a plan.Answer[T]) Answer[T] {
	return Answer[T]{Value: a.Value, Entries: a.Count, Missing: a.Missing}
}

// Steps yields the answers for the consecutive slices of [from, to), in order,
// each a step long but the last, which may be shorter. A slice without values
// has Entries 0. Steps reads the index once and each blob once, and costs about
// as much as Range. It holds the values of one batch at a time. An error ends
// the sequence.
func (q *Quantizer[T]) Steps(ctx context.Context, tenant string, from, to time.Time, step time.Duration, opts *RangeOptions) iter.Seq2[Step[T], error] {
	return func(yield func(Step[T], error) bool) {
		q.steps(ctx, from, to, step, yield, func(from time.Time) (g gathered[T], err error) {
			g.question, err = q.question(ctx, []string{tenant}, from, to, opts, reading{step: step})
			return g, err
		})
	}
}

func errStep(from, to time.Time) error {
	return &RangeError{from, to, "cannot be cut into steps: the step must be positive"}
}

// Values yields the tenant's stored values with from ≤ instant < to, in order
// and unmerged. It holds the values of one batch at a time. An error ends the
// sequence: a *CoarserError where retention has removed values of the range whose
// roll-up is left. With RangeOptions.Partial a value that cannot be read is yielded
// with its Err, and the sequence begins with a Value that has only the
// *CoarserError, if there is one.
func (q *Quantizer[T]) Values(ctx context.Context, tenant string, from, to time.Time, opts *RangeOptions) iter.Seq2[Value[T], error] {
	return func(yield func(Value[T], error) bool) {
		x, err := q.question(ctx, []string{tenant}, from, to, opts, reading{entries: true})
		gone, err := q.removed(ctx, tenant, from, to, opts, err)
		if begun(tenant, gone, err, yield) {
			yieldAll(tenant, q.past.Values(ctx, x), yield)
		}
	}
}

// removed returns a *CoarserError when retention has removed values of the range: as
// gone where the question allows a partial answer, as err elsewhere. If the read
// failed already, removed returns its error.
func (q *Quantizer[T]) removed(ctx context.Context, tenant string, from, to time.Time, opts *RangeOptions, read error) (gone, err error) {
	if read != nil {
		return nil, read
	}
	err = q.past.Whole(ctx, tenant, from.UnixNano(), to.UnixNano())
	if _, coarser := errors.AsType[*CoarserError](err); coarser && opts.orDefault().Partial {
		return err, nil
	}
	return nil, err
}

// begun yields what a sequence of values begins with, and reports whether it goes
// on.
func begun[T any](tenant string, gone, err error, yield func(Value[T], error) bool) bool {
	if err != nil {
		yield(Value[T]{}, err)
		return false
	}
	return gone == nil || yield(Value[T]{Tenant: tenant, Err: gone}, nil)
}

// RawBlobs is a blob store that returns blobs as they are stored; tiered.Store
// is one.
type RawBlobs interface {
	// GetRaw is Get without decoding. The blobs are the caller's.
	GetRaw(ctx context.Context, refs []blob.Ref) ([]blob.Result[[]byte], error)
}

// Blobs is Values without decoding. The blob store must be a RawBlobs.
func (q *Quantizer[T]) Blobs(ctx context.Context, tenant string, from, to time.Time, opts *RangeOptions) iter.Seq2[Value[[]byte], error] {
	return func(yield func(Value[[]byte], error) bool) {
		raw, ok := q.blobs.(RawBlobs)
		x, err := q.question(ctx, []string{tenant}, from, to, opts, reading{entries: true})
		if !ok {
			err = errors.New("quantizer: the blob store does not return blobs as they are stored: give it a GetRaw")
		}
		gone, err := q.removed(ctx, tenant, from, to, opts, err)
		if begun(tenant, gone, err, yield) {
			yieldAll(tenant, q.past.Raw(ctx, x, raw.GetRaw), yield)
		}
	}
}

func yieldAll[V any](tenant string, items iter.Seq2[plan.Item[V], error], yield func(Value[V], error) bool) {
	for item, err := range items {
		v := Value[V]{Tenant: tenant, Time: time.Unix(0, item.Entry.Time), Key: item.Entry.Key, Value: item.Value, Err: item.Err}
		if err != nil {
			v = Value[V]{}
		}
		if !yield(v, err) {
			return
		}
	}
}

// yieldInOrder yields stored values of a question and its live ones, both ascending,
// by instant.
func yieldInOrder[T any](items iter.Seq2[plan.Item[T], error], tenant string, q *plan.Question[T], yield func(Value[T], error) bool) {
	live, partial := q.Extra, q.Partial
	next := func() bool {
		v := live[0]
		live = live[1:]
		if v.Err != nil && !partial {
			yield(Value[T]{}, v.Err)
			return false
		}
		return yield(Value[T]{Tenant: v.Tenant, Time: time.Unix(0, v.Time), Key: v.Key, Value: v.Value, Err: v.Err}, nil)
	}
	goOn := true
	yieldAll(tenant, items, func(v Value[T], err error) bool {
		for goOn && err == nil && len(live) > 0 && live[0].Time < v.Time.UnixNano() {
			goOn = next()
		}
		goOn = goOn && yield(v, err) && err == nil
		return goOn
	})
	for goOn && len(live) > 0 {
		goOn = next()
	}
}

// Entries returns the tenant's entries with from ≤ Time < to in ascending
// order of Time. The slice is the caller's.
func (q *Quantizer[T]) Entries(ctx context.Context, tenant string, from, to time.Time) ([]index.Entry, error) {
	a, b, err := spanOf(tenant, from, to)
	if err != nil {
		return nil, err
	}
	return q.past.Entries(ctx, tenant, a, b)
}

// Has reports whether the tenant has entries with from ≤ Time < to. It starts
// no further row of the index once it knows of one.
func (q *Quantizer[T]) Has(ctx context.Context, tenant string, from, to time.Time) (bool, error) {
	a, b, err := spanOf(tenant, from, to)
	if err != nil {
		return false, err
	}
	return q.has(ctx, tenant, a, b, nil)
}

// Tenants returns the ids, sorted, of the tenants that have values in the index,
// if the index is an index.TenantLister; listing costs what its documentation
// says. For another index the error is errors.ErrUnsupported.
func (q *Quantizer[T]) Tenants(ctx context.Context) ([]string, error) {
	lister, ok := q.index.(index.TenantLister)
	if !ok {
		return nil, fmt.Errorf("list the tenants of an index of type %T: %w", q.index, errors.ErrUnsupported)
	}
	var ids []string
	for id, err := range lister.Tenants(ctx) {
		if err != nil {
			return nil, fmt.Errorf("list the tenants of the index: %w", err)
		}
		ids = append(ids, id)
	}
	return union(ids), nil
}

// union returns the ids of all lists, sorted, each once.
func union(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

func (q *Quantizer[T]) entries(ctx context.Context, tenant string, from, to int64) ([]index.Entry, error) {
	return q.past.Entries(ctx, tenant, from, to)
}

func (q *Quantizer[T]) has(ctx context.Context, tenant string, from, to int64, held inMemory) (bool, error) {
	return q.past.HasAny(ctx, tenant, from, to, plan.View{Skip: held.touches})
}
