package bucket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/bucket/internal/plan"
	"github.com/timeblob/timeblob/bucket/internal/rollup"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/guard"
)

// BuildMode says for which tenants roll-ups are built.
type BuildMode string

const (
	// BuildAsked builds for tenants that somebody asked about in the last
	// 24 hours. It is the default.
	BuildAsked BuildMode = "asked"
	// BuildAll builds for every tenant of the index. The index must be an
	// index.TenantLister.
	BuildAll BuildMode = "all"
	// BuildOff builds nothing. Roll-ups that exist are used all the same.
	BuildOff BuildMode = "off"
)

// LevelOptions say which merges of whole spans of time are stored as roll-ups,
// who builds them, and how long they are kept. Every process that writes the
// same index must give the same Spans, Lateness, Skew and Linger: the index
// keeps them, and a process that wants others gets an error.
//
// Roll-ups pay for values whose merge is smaller than its parts together: sketches,
// counters, profiles, reports of machines that stay. They do not for values that
// only grow, as lists of events do: such a roll-up is not kept, and its span is
// answered from the level below.
type LevelOptions struct {
	// Spans are the lengths of the levels, shortest first, in whole seconds.
	// Each must be a multiple of the one before. Default 1 min, 1 h and 24 h.
	Spans []time.Duration
	// Lateness is how long after its end a span is left alone. A value that is
	// stored later than that costs a few extra writes. Default 10 min.
	Lateness time.Duration
	// Skew is the most by which this process's idea of the store's time may be
	// wrong. Linger is how long a request may still take effect after its
	// sender gave it up. Lateness must be longer than Linger and twice Skew
	// together. Defaults 10 s and 5 min, which suit DynamoDB; with Owned they
	// are 0.
	Skew, Linger time.Duration

	// Build says for which tenants roll-ups are built. Default BuildAsked.
	Build BuildMode
	// Cores is how many spans are built at a time. Default 1.
	Cores int
	// Owned says that no other process writes the index, as of a directory or
	// of an index in memory.
	Owned bool
	// AllKnow says that every process which writes a shared index stores late
	// values as levels require, or stores none: each runs a version that knows
	// levels. Without Owned or AllKnow nothing is built.
	AllKnow bool
	// Codec is the version of the codec that writes roll-ups, at least 0. A
	// roll-up of a later version than one's own that does not decode is left
	// alone, and the entries are read in its place.
	Codec int
	// MaxBlob is how many bytes a roll-up may have. A larger one is not kept.
	// Default 64 MiB, and in a Collector the collector's MaxBlob.
	MaxBlob int64

	// Retention says how long entries and roll-ups are kept. The stores remove
	// entries and their blobs: their own options must say the same as the
	// Retention of Level 0. A directory removes roll-ups, too; on S3 a lifecycle
	// rule for each prefix does, "rollup/60/" for minutes. Where a level is kept
	// longer than the entries, spans that are not built in time are lost: use
	// BuildAll. The index keeps the Retention: with nil it stays as it is, which
	// at first is that nothing is removed, and one of Level 0 with a Keep of 0 ends
	// it. Spans whose entries may be gone by then stay final.
	Retention []Retention

	// Logger is told of builds that fail and of roll-ups that are not kept.
	// Default slog.Default, and in a Collector the collector's.
	Logger *slog.Logger
}

// Retention says how long one level is kept.
type Retention struct {
	// Level is the length of the level's spans; 0 means the entries.
	Level time.Duration
	// Keep is how long after its end a span is kept; 0 means for ever. A level
	// that is not named is kept as long as the one below it. Add refuses a past
	// instant at which entries are not kept any more.
	Keep time.Duration
}

func (o LevelOptions) withDefaults() (LevelOptions, error) {
	d := levels.Default()
	if o.Spans == nil {
		o.Spans = d.Spans
	}
	orDefault(&o.Lateness, d.Lateness)
	if !o.Owned {
		orDefault(&o.Skew, d.Skew)
		orDefault(&o.Linger, d.Linger)
	}
	orDefault(&o.Build, BuildAsked)
	orDefault(&o.Cores, 1)
	orDefault(&o.MaxBlob, 64<<20)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	switch o.Build {
	case BuildAsked, BuildAll, BuildOff:
	default:
		return o, fmt.Errorf("levels: build %q: must be %q, %q or %q", o.Build, BuildAsked, BuildAll, BuildOff)
	}
	if o.Cores < 0 || o.MaxBlob < 0 || o.Codec < 0 {
		return o, fmt.Errorf("levels: Cores %d, MaxBlob %d and Codec %d must not be negative", o.Cores, o.MaxBlob, o.Codec)
	}
	for _, r := range o.Retention {
		if r.Level != 0 && !slices.Contains(o.Spans, r.Level) {
			return o, fmt.Errorf("levels: retention of %v: there is no such level, but %v", r.Level, o.Spans)
		}
	}
	return o, o.settings().Check()
}

// settings returns what the index is to say.
func (o *LevelOptions) settings() levels.Settings {
	return levels.Settings{Spans: o.Spans, Lateness: o.Lateness, Skew: o.Skew, Linger: o.Linger, Keep: o.keep()}
}

// keep returns how long the entries and each level are kept; nil where that is to
// stay as the index says.
func (o *LevelOptions) keep() []time.Duration {
	if len(o.Retention) == 0 {
		return nil
	}
	keep := make([]time.Duration, 1+len(o.Spans))
	for i, level := range append([]time.Duration{0}, o.Spans...) {
		if i > 0 {
			keep[i] = keep[i-1]
		}
		for _, r := range o.Retention {
			if r.Level == level {
				keep[i] = r.Keep
			}
		}
	}
	return keep
}

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
	timeout  time.Duration    // of a request
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
	return finalError(w.protocol.Write(ctx, what, send))
}

// dropping keeps the roll-ups of what a deletion deletes in order.
type dropping struct{ w *Writer }

// Drop implements erase.Spans.
func (s dropping) Drop(ctx context.Context, tenant string, from, to int64) error {
	if s.w.protocol == nil {
		return nil
	}
	return finalError(s.w.protocol.Drop(ctx, tenant, from, to, s.w.timeout))
}

// Count implements erase.Spans.
func (s dropping) Count(ctx context.Context, tenant string, from, to int64) (rollUps int, bytes int64, err error) {
	if s.w.protocol == nil {
		return 0, 0, nil
	}
	return s.w.protocol.Count(ctx, tenant, from, to)
}

// Replaced implements erase.Spans.
func (s dropping) Replaced(ctx context.Context, tenant string, from, to int64) ([]string, error) {
	if s.w.protocol == nil {
		return nil, nil
	}
	return s.w.protocol.Replaced(ctx, tenant, from, to)
}

// CoarserError says that a range, or a slice of it, begins or ends inside a span
// whose values retention has removed one by one, so that only their merge is left.
// RangeOptions.Round asks for the nearest range. Its fields are
//
//	Tenant                 string
//	From, To               time.Time // the range that was asked for
//	NearestFrom, NearestTo time.Time // the nearest range around it that can be answered
type CoarserError = plan.CoarserError

// rounded asks about a range, and with Round about the nearest one that can be
// answered.
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
	b := rollup.Options{Protocol: q.protocol, Index: q.index, Merger: merger[T]{q}, Settings: o.settings(), Owned: o.Owned,
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
	// Progress is told what has been done so far, by one goroutine at a time.
	Progress func(RollUpDone)
}

// RollUpDone is what RollUp has done. Its fields are
//
//	Built    int       // spans that were sealed
//	Void     int       // spans whose roll-up is not kept
//	Waiting  int       // spans that are held, claimed, or that ended too short ago
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
// index, or is a *TooSoonError or an *OtherLevelsError.
func (q *Quantizer[T]) RollUp(ctx context.Context, tenant string, from, to time.Time, opts *RollUpOptions) (RollUpDone, error) {
	if q.builder == nil {
		return RollUpDone{}, errors.New("roll-ups are not built: LevelOptions must be given, with Owned or AllKnow, and Build must not be off")
	}
	start, end, err := deletable(tenant, from, to)
	if err != nil {
		return RollUpDone{}, err
	}
	o := RollUpOptions{}
	if opts != nil {
		o = *opts
	}
	return q.builder.RollUp(ctx, tenant, start, end, rollup.Task{Verify: o.Verify, Progress: o.Progress})
}

// RollUp is [Quantizer.RollUp] of the collector's stored values.
func (c *Collector[T]) RollUp(ctx context.Context, tenant string, from, to time.Time, opts *RollUpOptions) (RollUpDone, error) {
	return c.past.RollUp(ctx, tenant, from, to, opts)
}

// LevelStats is [Quantizer.LevelStats] of the collector's builder.
func (c *Collector[T]) LevelStats() []LevelStats { return c.past.LevelStats() }
