package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/bucket/internal/plan"
	"github.com/timeblob/timeblob/bucket/internal/rollup"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/guard"
)

// entriesKept returns how long the index says that entries are kept, or the options if
// it has no settings; 0 is for ever.
func (q *Quantizer[T]) entriesKept(ctx context.Context) time.Duration {
	s, err := q.protocol.Settings(ctx)
	if err != nil && q.opts.Levels != nil {
		s = q.opts.Levels.settings()
	}
	if len(s.Keep) == 0 {
		return 0
	}
	return s.Keep[0]
}

// FinalError says that values of a span cannot be added or deleted any more:
// retention removes its entries, and only their roll-up is kept. A deletion of
// the whole span is possible. It is permanent.
type FinalError struct {
	Tenant   string
	From, To time.Time // the span
}

func (e *FinalError) Error() string {
	return fmt.Sprintf("tenant %q: the values from %s to %s are kept as one merge only, since retention removes them one by one: "+
		"none of them can be added or deleted alone", e.Tenant, e.From.UTC().Format(time.RFC3339), e.To.UTC().Format(time.RFC3339))
}

// finalError makes the error of the protocol this package's own.
func finalError(err error) error {
	final, ok := errors.AsType[*levels.FinalError](err)
	if !ok {
		return err
	}
	return fmt.Errorf("%w", &FinalError{final.Span.Tenant, time.Unix(0, final.Span.Start), time.Unix(0, final.Span.End())})
}

// Writer puts entries into an index, and removes them, as the index's levels
// require. A Collector and a Deleter have their own; programs that write entries
// themselves need one. It is safe for any number of goroutines.
type Writer struct {
	index    index.Index
	protocol *levels.Protocol // nil: the index offers no places
	timeout  time.Duration    // of a request whose context has no earlier deadline
}

// NewWriter returns a Writer.
func NewWriter(idx index.Index) *Writer {
	protocol, _ := protocolOf(idx, nil, nil)
	return &Writer{index: idx, protocol: protocol, timeout: 30 * time.Second}
}

// Put is the index's Put. It may also return a *FinalError.
func (w *Writer) Put(ctx context.Context, row index.Row, e index.Entry) error {
	return w.write(ctx, levels.Write{Tenant: row.Tenant, Instants: []int64{e.Time}},
		func(ctx context.Context) error { return w.index.Put(ctx, row, e) })
}

// Commit is the committer's Commit, which must be of the same store as the
// index. It may also return a *FinalError.
func (w *Writer) Commit(ctx context.Context, to index.Committer, row index.Row, e index.Entry, blob []byte) error {
	return w.write(ctx, levels.Write{Tenant: row.Tenant, Instants: []int64{e.Time}},
		func(ctx context.Context) error { return to.Commit(ctx, row, e, blob) })
}

// Delete is the index's Delete. It may also return a *FinalError, or
// errors.ErrUnsupported for an index that is no index.Deleter.
func (w *Writer) Delete(ctx context.Context, row index.Row, entries []index.Entry) error {
	deleter, ok := w.index.(index.Deleter)
	if !ok {
		return fmt.Errorf("the index, a %T, cannot remove entries: %w", w.index, errors.ErrUnsupported)
	}
	instants := make([]int64, len(entries))
	for i, e := range entries {
		instants[i] = e.Time
	}
	return w.write(ctx, levels.Write{Tenant: row.Tenant, Instants: instants, Deletes: true},
		func(ctx context.Context) error { return deleter.Delete(ctx, row, entries) })
}

// write sends a request for entries through the protocol.
func (w *Writer) write(ctx context.Context, what levels.Write, send func(context.Context) error) error {
	if w.protocol == nil {
		return send(ctx)
	}
	what.Timeout = w.timeout
	if deadline, ok := ctx.Deadline(); ok { // spans need not be held for longer
		what.Timeout = min(what.Timeout, max(time.Until(deadline), time.Millisecond))
	}
	return finalError(w.protocol.Write(ctx, what, send))
}

// CoarserError says that a range, or a slice of it, begins or ends inside a span
// whose values retention has removed one by one, so that only their merge is left.
// RangeOptions.Round asks for the nearest range. Its fields are
//
//	Tenant                 string
//	From, To               time.Time // the range that was asked for
//	NearestFrom, NearestTo time.Time // the nearest range around it that can be answered
type CoarserError = plan.CoarserError

// rounded asks about a range. With Round, it asks about the nearest range that can
// be answered.
func rounded[T any](from, to time.Time, opts *RangeOptions, ask func(from, to time.Time) (Answer[T], error)) (a Answer[T], err error) {
	if !opts.orDefault().Round {
		return ask(from, to)
	}
	for range maxWider {
		a, err = ask(from, to)
		coarser, ok := errors.AsType[*CoarserError](err)
		if !ok {
			break
		}
		from, to = coarser.NearestFrom, coarser.NearestTo
	}
	a.From, a.To = from, to
	return a, err
}

// maxWider bounds how often a range is widened: once a level for each end.
const maxWider = 16

// protocolOf returns the protocol of an index's levels; nil where the index
// offers no places and none are asked for.
func protocolOf(idx index.Index, o *LevelOptions, now func() time.Time) (*levels.Protocol, error) {
	places, ok := idx.(index.Places)
	switch {
	case ok:
		return levels.New(places, now), nil
	case o != nil:
		return nil, errors.New("levels need an index that is an index.Places: this one, or what wraps it, does not offer that")
	}
	return nil, nil
}

// builderOf returns the builder of a quantizer's index; nil where nothing is to
// be built.
func (q *Quantizer[T]) builderOf() (*rollup.Builder, error) {
	metrics, err := rollup.NewMetrics(q.opts.Registerer, q.opts.Namespace)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	o := q.opts.Levels
	if o == nil || o.Build == BuildOff || !o.Owned && !o.AllKnow {
		return nil, nil
	}
	settings := o.settings()
	if waiter, ok := q.index.(index.Waiter); ok {
		_, _, outlives := settings.PastKeep(time.Time{})
		settings.Waits = outlives && waiter.Waits()
	}
	b := rollup.Options{Protocol: q.protocol, Index: q.index, Merger: merger[T]{q}, Settings: settings, Owned: o.Owned,
		All: o.Build == BuildAll, Cores: o.Cores, Codec: o.Codec, MaxBlob: o.MaxBlob, Metrics: metrics, Logger: o.Logger, Now: q.opts.Now}
	if lister, ok := q.index.(index.TenantLister); ok {
		b.Tenants = lister.Tenants
	}
	return rollup.New(b), nil
}

// merger merges, encodes and stores roll-ups.
type merger[T any] struct{ q *Quantizer[T] }

// Merge implements rollup.Merger.
func (m merger[T]) Merge(ctx context.Context, tenant string, parts []levels.Part) (out rollup.Merged, err error) {
	rolled, err := m.q.past.Merge(ctx, tenant, parts)
	if err != nil || rolled.Count == 0 {
		return rollup.Merged{Print: rolled.Print}, err
	}
	blob, err := m.encode(rolled.Value)
	return rollup.Merged{Blob: blob, Count: rolled.Count, Print: rolled.Print, Bytes: rolled.Bytes}, err
}

func (m merger[T]) encode(v T) (blob []byte, err error) {
	defer guard.Recover("encode", &err)
	if clone := m.q.opts.Clone; clone != nil {
		v = clone(v) // questions may share it
	}
	if blob, err = m.q.blobs.Encode(v); err != nil {
		return nil, &EncodeError{Err: err}
	}
	if decoder, ok := m.q.blobs.(Decoder[T]); ok && len(blob) > largeBlob {
		if _, err := decoder.Decode(blob); err != nil {
			return nil, &EncodeError{Err: fmt.Errorf("the blob of %d bytes does not decode: %w", len(blob), err)}
		}
	}
	return blob, nil
}

// largeBlob is from where on a roll-up's blob is decoded once before it is stored,
// since a codec may refuse what is large.
const largeBlob = 1 << 20

// Put implements rollup.Merger. A key that is taken is the claim's own, from an
// attempt that seemed to fail.
func (m merger[T]) Put(ctx context.Context, key string, blob []byte) error {
	if err := m.q.blobs.Put(ctx, key, blob); !errors.Is(err, index.ErrExists) {
		return err
	}
	return nil
}

// Remove implements rollup.Merger. A store that cannot delete keeps them.
func (m merger[T]) Remove(ctx context.Context, keys []string) error {
	if from, ok := m.q.blobs.(BlobDeleter); ok {
		return from.Delete(ctx, keys)
	}
	return nil
}

// Lasting implements rollup.Merger.
func (m merger[T]) Lasting(err error) bool {
	_, missing := errors.AsType[*MissingError](err)
	_, merge := errors.AsType[*MergeError](err)
	_, many := errors.AsType[*TooManyError](err)
	_, large := errors.AsType[*RangeTooLargeError](err)
	_, panicked := errors.AsType[*PanicError](err)
	_, encode := errors.AsType[*EncodeError](err)
	return missing || merge || many || large || panicked || encode
}

// PrintOf implements rollup.Merger.
func (m merger[T]) PrintOf(entries []index.Entry) string { return plan.PrintOf(entries).String() }

// Same implements rollup.Merger.
func (m merger[T]) Same(a, b []byte) (same bool, err error) {
	defer guard.Recover("equal", &err)
	decoder, ok := m.q.blobs.(Decoder[T])
	if bytes.Equal(a, b) || m.q.opts.Equal == nil || !ok {
		return bytes.Equal(a, b), nil
	}
	x, err := decoder.Decode(a)
	y, failed := decoder.Decode(b)
	if err = errors.Join(err, failed); err != nil {
		return false, err
	}
	return m.q.opts.Equal(x, y), nil
}

// asked and offer pass on what questions tell.
func (q *Quantizer[T]) asked(tenant string) {
	if q.builder != nil {
		q.builder.Asked(tenant)
	}
}

func (q *Quantizer[T]) offer(span levels.Span) {
	if q.builder != nil {
		q.builder.Offer(span)
	}
}

// Build builds roll-ups until ctx ends, as LevelOptions say; with BuildOff, or
// without Owned and AllKnow, it returns at once. A Collector's Run does that
// itself. With BuildAll it builds for the tenants that the collector takes values of,
// or that somebody asks about, and for all tenants that an index.TenantLister lists.
// It lists them when it begins, and then every hour where the index is Owned, every
// day where it is shared. The error is an *OtherLevelsError.
func (q *Quantizer[T]) Build(ctx context.Context) error {
	if q.builder == nil {
		return nil
	}
	return q.builder.Run(ctx)
}

// LevelStats are figures of the builder of one level. Its fields are
//
//	Level         time.Duration
//	Built         int64         // spans that were sealed
//	Void          int64         // spans whose roll-up is not kept
//	Failed        int64         // builds that failed
//	LastHour      int           // spans that were sealed in the last hour
//	Busy          time.Duration // how long those builds took together
//	Waiting       int           // spans that are due
//	OldestWaiting time.Duration // since the oldest of them could be built
type LevelStats = rollup.Stats

// LevelStats returns the figures of this process's builder, the shortest level
// first; nil where nothing is built.
func (q *Quantizer[T]) LevelStats() []LevelStats {
	if q.builder == nil {
		return nil
	}
	return q.builder.Stats()
}

// OtherLevelsError says that the index has other settings of levels than
// LevelOptions ask for. Its fields are the settings of the index:
//
//	Spans                  []time.Duration
//	Lateness, Skew, Linger time.Duration
type OtherLevelsError = levels.OtherError

// RollUpOptions tune RollUp; nil means the defaults.
type RollUpOptions struct {
	// Verify computes again what is sealed, and compares. A roll-up that
	// differs is built again, and spans whose roll-up did not pay are tried
	// again. Where encoding and merging are not deterministic to
	// the byte, right roll-ups may differ.
	Verify bool
	// Progress is called with what was done so far, by one goroutine at a time. If it
	// panics, RollUp goes on, and returns the *PanicError in the end.
	Progress func(RollUpDone)
}

// RollUpDone is what RollUp has done. Its fields are
//
//	Built    int       // spans that were sealed
//	Void     int       // spans whose roll-up is not kept
//	Waiting  int       // spans that a late value or another builder holds, or that ended too short ago
//	Failed   int       // spans that could not be built
//	Verified int       // seals that were computed again and are right
//	Differ   int       // seals that were not, and were built again
//	At       time.Time // everything before it has been looked at
type RollUpDone = rollup.Done

// TooSoonError says that levels of a shared index were turned on a moment ago.
// Builders start some minutes later, when every writer knows of them. Its field is
//
//	From time.Time // when builders start
type TooSoonError = rollup.TooSoonError

// RollUp builds the roll-ups that are missing, at every level, in the spans that
// touch [from, to), and returns when all was tried. It may be interrupted and
// repeated, and run beside other builders. LevelOptions must allow building.
// The error comes from the first span that failed, from the context or from the
// index, or is a *TooSoonError or an *OtherLevelsError. While RollUpDone.Waiting is not
// 0, call it again some minutes later. RollUp does not wait for a
// build longer than its claim lasts, half of the lateness and 5 min at most: a codec or a merge
// that does not return is an error.
func (q *Quantizer[T]) RollUp(ctx context.Context, tenant string, from, to time.Time, opts *RollUpOptions) (RollUpDone, error) {
	if q.builder == nil {
		return RollUpDone{}, errors.New("roll-ups are not built: LevelOptions must be given, with Owned or AllKnow, and Build must not be off")
	}
	start, end, err := spanOf(tenant, from, to)
	if err != nil {
		return RollUpDone{}, err
	}
	o := RollUpOptions{}
	if opts != nil {
		o = *opts
	}
	var told callbacks
	done, err := q.builder.RollUp(ctx, tenant, start, end, rollup.Task{Verify: o.Verify, Progress: progress(&told, o.Progress)})
	return done, told.or(err)
}

// RollUp is [Quantizer.RollUp] of the collector's stored values.
func (c *Collector[T]) RollUp(ctx context.Context, tenant string, from, to time.Time, opts *RollUpOptions) (RollUpDone, error) {
	return c.past.RollUp(ctx, tenant, from, to, opts)
}

// LevelStats is [Quantizer.LevelStats] of the collector's builder.
func (c *Collector[T]) LevelStats() []LevelStats { return c.past.LevelStats() }

// RollUpStore is a store that roll-ups are copied from or to.
type RollUpStore struct {
	Index index.Index // an index.Places
	// Blobs are the store's blobs, as a tiered.Tier has them.
	Blobs interface {
		Get(ctx context.Context, keys []string) ([][]byte, error)
		Put(ctx context.Context, key string, blob []byte) error
	}
	Owned bool // no other process writes it
}

// RollUpCopyOptions tune a RollUpCopier; nil means the defaults.
type RollUpCopyOptions struct {
	// Keep is how long the destination keeps entries, where it has no settings of
	// levels yet. Default as long as the source.
	Keep time.Duration
	// Parallel is how many roll-ups are copied at a time, and are in memory.
	// Default 1.
	Parallel int
	// Failed is told of each roll-up that could not be copied. Several goroutines
	// may call it at a time. If it panics, Copy goes on, and returns the *PanicError
	// in the end.
	Failed func(tenant string, level time.Duration, start time.Time, err error)
}

// RollUpCopier copies roll-ups from one store to another, after the entries were
// copied. A roll-up is taken only where it holds the values that the destination has
// in its span: all of them, and where the source's retention has removed values, no
// others than the source had. So the copy answers as the source does, also from
// roll-ups that are all that is left. It may be interrupted and repeated.
type RollUpCopier struct {
	carrier rollup.Carrier
	failed  func(tenant string, level time.Duration, start time.Time, err error)
}

// RollUpsCopied count what Copy has done. Its fields are
//
//	Copied  int       // roll-ups that stand for their spans at the destination now
//	Bytes   int64     // of their blobs
//	Present int       // spans that have a roll-up there, or whose roll-up does not pay there
//	Left    int       // spans whose roll-up has other values than the destination: they are built there
//	Waiting int       // spans that are held, claimed, or that ended too short ago there
//	Until   time.Time // when waiting spans can be copied that cannot be built; zero where there are none
//	Failed  int       // spans that could not be copied, and cannot be built there
type RollUpsCopied = rollup.Carried

// NewRollUpCopier returns a RollUpCopier.
func NewRollUpCopier(from, to RollUpStore, opts *RollUpCopyOptions) (*RollUpCopier, error) {
	c := &RollUpCopier{}
	for _, side := range []struct {
		given RollUpStore
		used  *rollup.Side
	}{{from, &c.carrier.From}, {to, &c.carrier.To}} {
		places, ok := side.given.Index.(index.Places)
		if !ok || side.given.Blobs == nil {
			return nil, fmt.Errorf("copy roll-ups: needs blobs, and an index that is an index.Places: a %T is none", side.given.Index)
		}
		*side.used = rollup.Side{Protocol: levels.New(places, nil), Index: side.given.Index, Blobs: side.given.Blobs}
	}
	c.carrier.Owned, c.carrier.Sum = to.Owned, sumOf
	if opts != nil {
		c.carrier.Keep, c.carrier.Parallel, c.failed = opts.Keep, opts.Parallel, opts.Failed
	}
	return c, nil
}

// sumOf implements rollup.Carrier's Sum.
func sumOf(entries []index.Entry, prints []string) (string, error) {
	sum := plan.PrintOf(entries)
	for _, text := range prints {
		print, err := plan.ParsePrint(text)
		if err != nil {
			return "", err
		}
		sum = sum.Add(print)
	}
	return sum.String(), nil
}

// Count returns how many roll-ups of a tenant's range the source has, and how many of
// them cannot be built again, since retention may have removed their values.
func (c *RollUpCopier) Count(ctx context.Context, tenant string, from, to time.Time) (all, final int, err error) {
	start, end, err := spanOf(tenant, from, to)
	if err != nil {
		return 0, 0, err
	}
	return c.carrier.Spans(ctx, tenant, start, end)
}

// Levels reports whether the source and the destination have settings of levels.
func (c *RollUpCopier) Levels(ctx context.Context) (from, to bool, err error) {
	if from, err = hasLevels(ctx, c.carrier.From.Protocol); err == nil {
		to, err = hasLevels(ctx, c.carrier.To.Protocol)
	}
	return from, to, err
}

func hasLevels(ctx context.Context, p *levels.Protocol) (bool, error) {
	_, err := p.Settings(ctx)
	if errors.Is(err, levels.ErrOff) {
		return false, nil
	}
	return err == nil, err
}

// Prepare gives the destination the source's settings of levels, unless it has
// some, and makes spans final whose values the source may have removed. Call it after
// the entries were copied, and before Copy. On an index that others write, the
// operator must say that all its writers know levels, see LevelOptions.AllKnow. It
// returns when Copy may begin: some minutes later where other processes have to learn
// of the settings. The error may be an *OtherLevelsError.
func (c *RollUpCopier) Prepare(ctx context.Context) (time.Time, error) {
	return c.carrier.Prepare(ctx)
}

// Copy copies the roll-ups of a tenant's spans that lie in [from, to). Its error says
// that a store fails.
func (c *RollUpCopier) Copy(ctx context.Context, tenant string, from, to time.Time) (RollUpsCopied, error) {
	start, end, err := spanOf(tenant, from, to)
	if err != nil {
		return RollUpsCopied{}, err
	}
	var told callbacks
	carrier := c.carrier
	if c.failed != nil {
		carrier.Warn = func(p levels.Place, err error) {
			told.call("failed", func() { c.failed(p.Tenant, p.Level, time.Unix(0, p.Start), err) })
		}
	}
	copied, err := carrier.Copy(ctx, tenant, start, end)
	return copied, told.or(err)
}
