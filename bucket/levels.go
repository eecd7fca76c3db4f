package bucket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
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
	// entries: their own options must say the same as the Retention of Level
	// 0. Default: nothing is removed.
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
	// that is not named is kept as long as the one below it.
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

// keep returns how long the entries and each level are kept; nil where nothing
// is removed.
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
