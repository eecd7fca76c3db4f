package bucket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/weigh"
)

// CollectorOptions tune a Collector; nil or a zero field means the default.
type CollectorOptions[T any] struct {
	// Window is how far back a question of At reaches. Default five ticks; at
	// least one tick.
	Window time.Duration
	// Tick is how often Run seals and flushes. Default 3 s, or the window if
	// that is shorter; at least 1 ms.
	Tick time.Duration
	// Alone says that nobody but this collector, and collectors that ran
	// before it on the same store, holds what the tenants sent lately. Until
	// it has run for a window, it then answers live questions with what the
	// store holds from before its start as well.
	Alone bool

	// Into merges src into dst and returns the result, usually dst. It
	// replaces Merge for the open tick, so that a value that arrives costs no
	// copy of the tick. dst belongs to the collector; src is shared, and Into
	// must not change it or keep memory of it in dst. When Into returns an
	// error dst must be as before. It needs Clone.
	Into func(dst, src T) (T, error)
	// Clone returns a copy that shares no memory that anybody writes. Set it
	// for types whose encoding or reading writes to the value: values are then
	// cloned before they are encoded. It must only read its argument, and
	// some Copy methods do not: Copy of a pprof profile encodes the profile.
	// Answers are not cloned: clone an answer's Value before you call a method
	// that writes to it.
	Clone func(T) T
	// MergeLater says that Merge takes every value that Add takes, or whose Check
	// passed. AddBlob then keeps a few blobs of a tick as they are, also where
	// several values come in each tick. They are decoded and merged together when
	// somebody asks for them, when there are many, and when the tick is flushed.
	// Should the merge fail then, they are stored as several entries. Without MergeLater AddBlob decodes and merges such values, and refuses
	// a value that cannot be merged. It has no effect together with Into.
	MergeLater bool
	// Size is how many bytes of memory a value takes. The limits for pending and cached values use it. It may be an estimate. Default a
	// measurement by reflection of each value that is added, which costs about
	// what decoding it costs.
	Size func(T) int64
	// Stored is called after each value that became discoverable, with the
	// length of its blob in bytes, by many goroutines at a time. While it runs, its value
	// is pending. It must not call Flush or Close, or Delete for the same tenant, which
	// wait for it.
	Stored func(tenant string, e index.Entry, size int)
	// Failed is called with each value that was taken and can never be stored, and
	// with the error: the value cannot be encoded, is too large for the store,
	// belongs to a span that retention keeps as one merge only, or its record in the
	// journal is damaged or missing. In the last case v is the zero value of T, and the
	// error is a *JournalError that names the record. The value is
	// dropped then, and the other values of its tick are stored. Many goroutines
	// call Failed at a time. Failed may call Delete. If it calls Flush or Close, that call
	// waits for it, and takes a Deadline unless its context ends before.
	Failed func(tenant string, v T, err error)

	// MaxPending bounds the bytes of values that are not in the index yet,
	// all tenants together; past it Add refuses. Default 1 GiB. It counts values
	// as they were added. Beside them, a tick of several values takes the memory
	// of their merge. A tick that waits in the journal alone counts 640 bytes, and
	// 100 for each further value in it.
	MaxPending int64
	// MaxTenantPending bounds one tenant's part of MaxPending, so that a few
	// tenants that send too much leave room for others while the store is
	// away. What was added to the open tick counts in full, though it takes
	// less once merged, and so do sealed values and their blobs until they are
	// in the index.
	// Default a quarter of MaxPending, and all of it for the empty id, which
	// is a single tenant's.
	MaxTenantPending int64
	// MaxPendingOf returns a tenant's own MaxTenantPending, 0 for the general
	// one. It is called in every Add, by many goroutines at a time. A panic counts as 0.
	MaxPendingOf func(tenant string) int64
	// MaxTenants bounds the tenants that have values in memory at a time.
	// Past it Add refuses values of others, until some have been idle for a
	// window. Default 100 000.
	MaxTenants int
	// MaxBlob is how many bytes a blob may have. A tick that would make a
	// larger one is stored as several entries. Default 64 MiB. A store that
	// takes less may say so by an error of Put with a method TooLarge() bool.
	MaxBlob int64
	// LiveCacheBytes bounds the values of live windows that were asked for
	// lately, and are kept beside their blobs where Blobs is a Decoder. Values of AddBlob that
	// were decoded when they came may take half as much again, until they are merged.
	// Default 64 MiB; negative: none are kept.
	LiveCacheBytes int64

	// Flushes is how many values are flushed at a time, and as many more of
	// tenants whose last flush was slow to fail. Default 10.
	Flushes int
	// FlushesMax bounds the flushes at a time while values wait and the store
	// takes them: there is one for every eight values that wait. Default 64,
	// at least Flushes.
	FlushesMax int
	// Deadline bounds each request of an attempt to store and index a value: of the
	// blob, and of the entry. An attempt that fails after a quarter of it counts as
	// slow, and one that takes three times as long, because a function of the user
	// hangs, is not waited for. Default 10 s, at least 1 ms.
	Deadline time.Duration
	// Backoff is the wait after a value's first failed attempt. It doubles
	// with each further one up to MaxBackoff, and each wait is spread by a
	// random half. Defaults 100 ms and 10 s.
	Backoff, MaxBackoff time.Duration
	// Committer, when the index offers one, stores blob and entry in one step
	// in place of Blobs.Put and Index.Put. It must be of the same store as
	// both of them. A collector that is Alone assumes that no commit of an earlier process takes
	// effect after its start.
	Committer index.Committer

	// Journal keeps what Add has taken until it is in the index, so that a
	// process that is killed loses nothing. journal.Journal is one. Add then
	// returns when the journal has the value. NewCollector takes over what an
	// earlier process has left in it, if the journal is a Replayer. Values that
	// have left the live window and cannot be stored yet rest in the journal. Each
	// then takes, and counts as, 640 bytes of memory. Blobs must be a Decoder. Keys are fresh ones, see
	// index.Row.FreshBlobKey. The journal belongs to the caller, who closes it
	// after the collector. Default none.
	Journal Journal

	// Sync makes what Committer has committed survive a crash. With Sync set,
	// Commit may return before that. A value's records stay in the journal, and
	// the value in memory as its blob, until Sync has returned nil. When Sync
	// returns an error all commits since it last returned nil may be lost, and
	// the collector repeats them. It needs Committer and Journal. One goroutine
	// at a time calls it. Default none.
	Sync func(ctx context.Context) error
	// SyncEvery is how long committed values wait for Sync. The first ones wait
	// for a tick, and later ones twice as long each time, up to SyncEvery.
	// Default 30 s.
	SyncEvery time.Duration
	// SyncBytes is how many bytes of values may have been added to the journal,
	// or committed, before Sync is called earlier. Default 24 MiB.
	SyncBytes int64

	// Past tunes how stored values are read. Where its Size, Registerer,
	// Namespace or Now are not set, the collector's are used.
	Past QuantizerOptions[T]

	// Registerer takes the metrics; nil for none. Namespace leads their
	// names; default "timeblob".
	Registerer prometheus.Registerer
	Namespace  string
	// TracerProvider records the spans of flushes; default
	// otel.GetTracerProvider. A question's spans are recorded where the span
	// in its context is.
	TracerProvider trace.TracerProvider
	// Logger is told of failed attempts and of successes after them, of values
	// that can never be stored, and when values come and Run was not called.
	// Default slog.Default.
	Logger *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// withDefaults returns a checked copy with every field set.
func (opts *CollectorOptions[T]) withDefaults() (CollectorOptions[T], error) {
	o := CollectorOptions[T]{}
	if opts != nil {
		o = *opts
	}
	o.setTimes()
	orDefault(&o.MaxPending, 1<<30)
	orDefault(&o.MaxTenants, 100_000)
	orDefault(&o.MaxBlob, 64<<20)
	orDefault(&o.LiveCacheBytes, 64<<20)
	orDefault(&o.Flushes, 10)
	orDefault(&o.FlushesMax, max(64, o.Flushes))
	orDefault(&o.SyncBytes, 24<<20)
	orDefault(&o.Namespace, "timeblob")
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	o.sharePast()
	if o.Size == nil {
		o.Size = weigh.Deep[T]
	}
	return o, o.check()
}

func (o *CollectorOptions[T]) setTimes() {
	if o.Tick == 0 {
		o.Tick = 3 * time.Second
		if o.Window > 0 {
			o.Tick = min(o.Tick, o.Window)
		}
	}
	orDefault(&o.Window, 5*o.Tick)
	orDefault(&o.SyncEvery, 30*time.Second)
	orDefault(&o.Deadline, 10*time.Second)
	orDefault(&o.Backoff, 100*time.Millisecond)
	orDefault(&o.MaxBackoff, max(10*time.Second, o.Backoff))
}

// tickLimit is how many bytes of memory a tick's value may take before the next
// one begins. Half of MaxBlob, so that the blob fits unless encoding doubles a
// value.
func (o *CollectorOptions[T]) tickLimit() int64 { return o.MaxBlob / 2 }

// sharePast gives the quantizer what it was not given of its own.
func (o *CollectorOptions[T]) sharePast() {
	orDefault(&o.Past.Namespace, o.Namespace)
	if o.Past.Size == nil {
		o.Past.Size = o.Size
	}
	if o.Past.Clone == nil {
		o.Past.Clone = o.Clone
	}
	if o.Past.Registerer == nil {
		o.Past.Registerer = o.Registerer
	}
	if o.Past.Now == nil {
		o.Past.Now = o.Now
	}
	if o.Past.Levels != nil {
		shared := *o.Past.Levels
		orDefault(&shared.MaxBlob, o.MaxBlob)
		if shared.Logger == nil {
			shared.Logger = o.Logger
		}
		o.Past.Levels = &shared
	}
}

// linger returns how long an attempt that failed may still take effect. A commit of a store
// in this process may outlive its attempt.
func (o *CollectorOptions[T]) linger() time.Duration {
	d, l := levels.Default().Linger, o.Past.Levels
	if l != nil && (l.Owned || l.Linger > 0) {
		d = l.Linger
	}
	return max(d, o.Deadline)
}

// lateOfEarlier returns until when a request of an earlier process may take effect. It is now
// for a store that belongs to one process: its writes end with the process.
func (o *CollectorOptions[T]) lateOfEarlier() time.Time {
	now, l := time.Now(), o.Past.Levels
	if o.Committer != nil && o.Alone || l != nil && l.Owned {
		return now
	}
	return now.Add(o.linger())
}

func (o *CollectorOptions[T]) check() error {
	switch {
	case o.Window == o.Tick && o.Window < time.Millisecond:
		return fmt.Errorf("a window of %v: must be at least 1ms", o.Window)
	case o.Tick < time.Millisecond:
		return fmt.Errorf("a tick of %v: must be at least 1ms", o.Tick)
	case o.Window < o.Tick:
		return fmt.Errorf("a window of %v is shorter than a tick of %v", o.Window, o.Tick)
	case o.Into != nil && o.Clone == nil:
		return errors.New("option Into needs Clone: readers of the open tick get a clone")
	case o.MaxPending < 0 || o.MaxTenantPending < 0 || o.MaxTenants < 0 || o.MaxBlob < 0:
		return fmt.Errorf("limits MaxPending %d, MaxTenantPending %d, MaxTenants %d and MaxBlob %d must not be negative",
			o.MaxPending, o.MaxTenantPending, o.MaxTenants, o.MaxBlob)
	case o.Flushes < 0 || o.FlushesMax < o.Flushes:
		return fmt.Errorf("options Flushes %d and FlushesMax %d must be positive and in order", o.Flushes, o.FlushesMax)
	case o.Sync != nil && (o.Committer == nil || o.Journal == nil):
		return errors.New("option Sync needs Committer and Journal")
	case o.SyncEvery < 0 || o.SyncBytes < 0:
		return fmt.Errorf("options SyncEvery %v and SyncBytes %d must be positive", o.SyncEvery, o.SyncBytes)
	case o.Deadline > 0 && o.Deadline < time.Millisecond:
		return fmt.Errorf("a deadline of %v: must be at least 1ms, or no value could be stored", o.Deadline)
	case o.Deadline < 0 || o.Backoff < 0 || o.MaxBackoff < o.Backoff:
		return fmt.Errorf("times Deadline %v, Backoff %v and MaxBackoff %v must be positive and in order",
			o.Deadline, o.Backoff, o.MaxBackoff)
	}
	return nil
}

func orDefault[V comparable](field *V, value V) {
	var zero V
	if *field == zero {
		*field = value
	}
}

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

// LevelOptions turn roll-ups on, as QuantizerOptions.Levels, which for a Collector is
// CollectorOptions.Past.Levels. Without them nothing is built, and roll-ups that the
// index has already are read. They say which merges of whole spans of time are stored, who
// builds them, and how long they are kept. Every process that writes the
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
	// of an index in memory. Package embedded sets it. Without Owned or AllKnow
	// nothing is built.
	Owned bool
	// AllKnow says that every process which writes a shared index stores late
	// values as levels require, or stores none: each runs a version that knows
	// levels.
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

	// Grace is how much longer than Retention says the store keeps entries, where a
	// level is kept longer than entries: the store's own option must be the sum. So a
	// builder that was away for less than Grace loses no span, and a value that
	// Add took shortly before the end of its retention is stored and rolled up. An index
	// that is an index.Waiter also waits until all is rolled up. Default 0.
	Grace time.Duration

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
	if o.Cores < 0 || o.MaxBlob < 0 || o.Codec < 0 || o.Grace < 0 {
		return o, fmt.Errorf("levels: Cores %d, MaxBlob %d, Codec %d and Grace %v must not be negative", o.Cores, o.MaxBlob, o.Codec, o.Grace)
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
	s := levels.Settings{Spans: o.Spans, Lateness: o.Lateness, Skew: o.Skew, Linger: o.Linger, Keep: o.keep(), Grace: o.Grace}
	if _, _, outlives := s.PastKeep(time.Time{}); !outlives {
		s.Grace = 0
	}
	return s
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
