package bucket

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/internal/cache"
)

// Decoder is a blob store that can decode what it encodes. A collector on such
// a store keeps values as their blobs, which take a fraction of the memory,
// until somebody asks for them.
type Decoder[T any] interface {
	// Decode returns the value of a blob, which it does not keep. The value
	// is shared: nobody may change it.
	Decode(blob []byte) (T, error)
}

// lazy is a value: in memory as itself, as its blob, or as both, or in the
// journal. Its form may change at any time; the value never does.
type lazy[T any] struct {
	form   atomic.Pointer[form[T]]
	at     int64 // the instant of a sealed value; guarded by its tenant's mu
	values int   // how many added values are merged in it, as far as is known; not changed once others have it
}

// form is a lazy value at a moment.
type form[T any] struct {
	value   T
	decoded bool   // value is there
	blob    []byte // nil when there is none

	parts   []*lazy[T] // the value is the merge of these, when it was not merged yet
	records []uint64   // the value is the merge of these records of the journal, when it is not in memory
}

// encodedOnly returns the lazy value of a blob.
func encodedOnly[T any](blob []byte) *lazy[T] {
	l := &lazy[T]{}
	l.form.Store(&form[T]{blob: blob})
	return l
}

// decodedWith returns the lazy form of a value, with its blob unless that is nil.
func decodedWith[T any](v T, blob []byte) *lazy[T] {
	l := &lazy[T]{}
	l.form.Store(&form[T]{value: v, decoded: true, blob: blob})
	return l
}

// unmerged returns the lazy merge of values.
func unmerged[T any](parts []*lazy[T]) *lazy[T] {
	l := &lazy[T]{values: len(parts)}
	l.form.Store(&form[T]{parts: parts})
	return l
}

// joined returns the lazy merge of a value and the value of a blob.
func joined[T any](first, blob *lazy[T]) *lazy[T] {
	parts := []*lazy[T]{first}
	if f := first.form.Load(); !f.decoded && f.parts != nil {
		parts = f.parts
	}
	return unmerged(append(slices.Clip(parts), blob))
}

// restingOn returns the lazy value of records in the journal.
func restingOn[T any](records []uint64) *lazy[T] {
	l := &lazy[T]{values: len(records)}
	l.rest(records)
	return l
}

// rest leaves the value to the journal.
func (l *lazy[T]) rest(records []uint64) { l.form.Store(&form[T]{records: records}) }

// smallest returns the value in the form that takes the least memory: its blob alone,
// if it has one.
func (l *lazy[T]) smallest() *lazy[T] {
	if f := l.form.Load(); f.decoded && f.blob != nil {
		return encodedOnly[T](f.blob)
	}
	return l
}

func (l *lazy[T]) isResting() bool { return l.form.Load().records != nil }

func (l *lazy[T]) isDecoded() bool { return l.form.Load().decoded }

// keepEncoded keeps the blob alone.
func (l *lazy[T]) keepEncoded(blob []byte) { l.form.Store(&form[T]{blob: blob}) }

// lazies turn lazy values into values and back.
type lazies[T any] struct {
	user *userFuncs[T]

	// recent holds the values of blobs that were asked for lately, because a
	// tenant that is asked about is mostly asked about again. It may be nil.
	recent *cache.Cache[*lazy[T], T]

	// early holds the values of blobs that wait to be merged and were decoded when they
	// came, until they are merged. It may be nil.
	early      *cache.Cache[*lazy[T], T]
	earlyBytes int64 // how much early may hold
}

func newLazies[T any](user *userFuncs[T], opts *CollectorOptions[T]) (ls lazies[T], err error) {
	ls = lazies[T]{user: user}
	if user.decoder == nil || opts.LiveCacheBytes < 2 {
		return ls, nil
	}
	o := &cache.Options{TTL: opts.Window, Now: opts.Now}
	if ls.recent, err = cache.New[*lazy[T], T](opts.LiveCacheBytes, o); err != nil {
		return ls, err
	}
	ls.earlyBytes = opts.LiveCacheBytes / 2
	ls.early, err = cache.New[*lazy[T], T](ls.earlyBytes, o)
	return ls, err
}

// timesLarger is about how many times as much memory as its blob a value takes.
const timesLarger = 16

// mayDecodeEarly reports whether the value of a blob that waits may be kept until it
// is merged.
func (ls *lazies[T]) mayDecodeEarly(blob []byte) bool {
	return ls.early != nil && ls.early.Bytes()+timesLarger*int64(len(blob)) <= ls.earlyBytes
}

// keepEarly keeps the value of l, which takes size bytes, until it is merged, if there is room.
func (ls *lazies[T]) keepEarly(l *lazy[T], v T, size int64) {
	if ls.early.Bytes()+size <= ls.earlyBytes {
		ls.early.Add(l, v, size)
	}
}

// known returns the value of l if it is kept beside l, and nil otherwise.
func (ls *lazies[T]) known(l *lazy[T]) *T {
	if v := ls.recent.Get(l); v != nil {
		return v
	}
	return ls.early.Peek(l)
}

// expire forgets the values that nobody has asked for, or merged, for a window.
func (ls *lazies[T]) expire() {
	ls.recent.Expire()
	ls.early.Expire()
}

// value returns the value that l holds.
func (ls *lazies[T]) value(l *lazy[T]) (T, error) {
	f := l.form.Load()
	if f.decoded {
		return f.value, nil
	}
	if v := ls.known(l); v != nil {
		return *v, nil
	}
	if f.records != nil {
		v, err := ls.valueOf(f.records)
		if err != nil && l.form.Load() != f { // it has come back to memory, and its records may be gone
			return ls.value(l)
		}
		return v, err
	}
	v, err := ls.resolve(f)
	if err != nil {
		return v, err
	}
	if size, err := ls.user.weigh(v); err == nil {
		ls.recent.Add(l, v, size+int64(len(f.blob)))
	}
	return v, nil
}

// resolve decodes the blob of a form, or merges its parts. It forgets the values of
// parts that were decoded when they came.
func (ls *lazies[T]) resolve(f *form[T]) (v T, err error) {
	switch {
	case f.records != nil:
		return ls.valueOf(f.records)
	case f.parts == nil:
		return ls.decode(f.blob)
	}
	values, errs := make([]T, len(f.parts)), make([]error, len(f.parts))
	inParallel(len(f.parts), func(i int) {
		part := f.parts[i].form.Load()
		if part.decoded {
			values[i] = part.value
		} else if known := ls.known(f.parts[i]); known != nil {
			values[i] = *known
			ls.early.Remove(f.parts[i])
		} else {
			values[i], errs[i] = ls.resolve(part)
		}
	})
	if err := errors.Join(errs...); err != nil {
		return v, err
	}
	return mergeParts(ls.user.merge, values)
}

// valueOf returns the merge of the values of records.
func (ls *lazies[T]) valueOf(records []uint64) (v T, err error) {
	parts := make([]T, len(records))
	for i, id := range records {
		blob, err := ls.blobIn(id)
		if err != nil {
			return v, err
		}
		if parts[i], err = ls.decode(blob); err != nil {
			return v, err
		}
	}
	return mergeParts(ls.user.merge, parts)
}

// blobIn returns the blob of a record in the journal. The error is a *JournalError.
func (ls *lazies[T]) blobIn(id uint64) ([]byte, error) {
	_, _, blob, err := ls.user.opts.Journal.Read(id)
	if err != nil && neverRead(err) {
		err = &lostError{id, err}
	}
	if err != nil {
		return nil, &JournalError{Err: err}
	}
	return blob, nil
}

// wake brings a value that rests in the journal back to memory.
func (ls *lazies[T]) wake(l *lazy[T]) error {
	if !l.isResting() {
		return nil
	}
	v, err := ls.value(l)
	if err == nil {
		l.form.Store(&form[T]{value: v, decoded: true})
	}
	return err
}

// wakeApart does what wake does. If the value cannot be read, it brings back the blobs of
// the records instead, to be merged later. The error is load's.
func (ls *lazies[T]) wakeApart(l *lazy[T]) error {
	err := ls.wake(l)
	f := l.form.Load()
	if _, unread := errors.AsType[*JournalError](err); err == nil || unread && !isLost(err) || f.records == nil {
		return err
	}
	return ls.load(l, f.records)
}

// load brings the blobs of records back to memory, to be merged when somebody asks. l is
// the merge of the records. A record that is lost rests on, so that each reader gets the
// journal's error. The error is a *JournalError of another record.
func (ls *lazies[T]) load(l *lazy[T], records []uint64) error {
	parts := make([]*lazy[T], len(records))
	for i, id := range records {
		blob, err := ls.blobIn(id)
		switch {
		case err == nil:
			parts[i] = encodedOnly[T](blob)
		case isLost(err):
			parts[i] = restingOn[T]([]uint64{id})
		default:
			return err
		}
	}
	l.form.Store(&form[T]{parts: parts})
	return nil
}

func (ls *lazies[T]) decode(blob []byte) (T, error) {
	v, err := ls.user.decode(blob)
	if err != nil {
		return v, fmt.Errorf("decode a value that is held as its blob of %d bytes: %w", len(blob), err)
	}
	return v, nil
}

// decodeInPlace gives l its value beside its blob, or in place of its parts.
func (ls *lazies[T]) decodeInPlace(l *lazy[T]) error {
	f := l.form.Load()
	if f.decoded {
		return nil
	}
	v, err := ls.once(l, f)
	if err == nil {
		l.form.Store(&form[T]{value: v, decoded: true, blob: f.blob})
	}
	return err
}

// blobOf returns the blob of a value, and how many bytes it takes that the
// lazy value did not take before. It does not change l.
func (ls *lazies[T]) blobOf(l *lazy[T]) (blob []byte, more int64, err error) {
	f := l.form.Load()
	if f.blob != nil {
		ls.early.Remove(l)
		return f.blob, 0, nil
	}
	if len(f.records) == 1 { // the record is the blob
		blob, err = ls.blobIn(f.records[0])
		return blob, int64(len(blob)), err
	}
	v, err := ls.once(l, f)
	if err != nil {
		return nil, 0, err
	}
	blob, err = ls.user.encode(v)
	return blob, int64(len(blob)), err
}

// once returns a value that is needed once, and does not keep it for questions.
func (ls *lazies[T]) once(l *lazy[T], f *form[T]) (T, error) {
	if f.decoded || f.records != nil {
		return ls.value(l)
	}
	if known := ls.known(l); known != nil {
		return *known, nil
	}
	return ls.resolve(f)
}

// values returns the values of lazy ones. The context ends the decoding.
func (ls *lazies[T]) values(ctx context.Context, held []*lazy[T]) ([]T, error) {
	values, errs := make([]T, len(held)), make([]error, len(held))
	inParallel(len(held), func(i int) {
		if errs[i] = ctx.Err(); errs[i] == nil {
			values[i], errs[i] = ls.value(held[i])
		}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return values, nil
}

// piece is one of the values that were merged into a lazy value, or the reason why it cannot be read.
type piece[T any] struct {
	value  T
	values int // how many added values are merged in it, as far as is known
	err    error
}

// pieces returns the value of l. If l cannot be read, it returns the values that were
// merged into l, as far as they are known, each by itself. The error is the context's.
func (ls *lazies[T]) pieces(ctx context.Context, l *lazy[T]) (all []piece[T], err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v, err := ls.value(l)
	if err == nil {
		return []piece[T]{{value: v, values: l.values}}, nil
	}
	members := l.members()
	if len(members) == 0 {
		return []piece[T]{{err: err}}, nil
	}
	for _, m := range members {
		some, err := ls.pieces(ctx, m)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// members returns the values that are merged into l when somebody asks. It returns none
// when l is merged already, or is one value.
func (l *lazy[T]) members() []*lazy[T] {
	f := l.form.Load()
	if len(f.records) < 2 {
		return f.parts
	}
	members := make([]*lazy[T], len(f.records))
	for i, id := range f.records {
		members[i] = restingOn[T]([]uint64{id})
	}
	return members
}

// join is the merge of lazy values.
func (ls *lazies[T]) join(ctx context.Context, parts []*lazy[T]) (*lazy[T], error) {
	v, err := ls.merge(ctx, parts)
	if err != nil {
		return nil, err
	}
	l := decodedWith(v, nil)
	for _, part := range parts {
		l.values += max(part.values, 1)
	}
	return l, nil
}

// merge returns the merge of any number of lazy values.
func (ls *lazies[T]) merge(ctx context.Context, parts []*lazy[T]) (v T, err error) {
	values, err := ls.values(ctx, parts)
	if err != nil {
		return v, err
	}
	return mergeParts(ls.user.merge, values)
}

// inParallel calls f with 0 to n-1, on as many goroutines as there are
// processors, and returns when all calls have. A panic of f is the caller's.
func inParallel(n int, f func(i int)) {
	if n == 1 {
		f(0)
		return
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		group.Go(func() (err error) {
			defer func() {
				if r := recover(); r != nil {
					err = fmt.Errorf("%v\n\n%s", r, debug.Stack())
				}
			}()
			f(i)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		panic(err)
	}
}
