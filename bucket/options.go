package bucket

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/timeblob/timeblob/index"
)

// CollectorOptions tune a Collector; nil or a zero field means the default.
type CollectorOptions[T any] struct {
	// Window is how far back a question of At reaches. Default 15 s; at least
	// one tick.
	Window time.Duration
	// Tick is how often Run seals and flushes. Default 3 s, at least 1 ms.
	Tick time.Duration
	// Alone says that nobody but this collector, and those that ran before it
	// on the same store, holds what the tenants sent lately. Until it has run
	// for a window, it then answers live questions with what the store holds
	// from before its start as well.
	Alone bool
	// MaxPending bounds the bytes of values that are not in the index yet,
	// all tenants together; past it Add refuses. Default 1 GiB.
	MaxPending int64
	// MaxTenantPending bounds one tenant's part of that, so that a few that
	// send too much leave room for others while the store is away. What was
	// added to the open tick counts in full, though it takes less once merged,
	// and so do sealed values and their blobs until they are in the index.
	// Default a quarter of MaxPending, and all of it for the empty id, which
	// is a single tenant's.
	MaxTenantPending int64
	// MaxPendingOf returns a tenant's own MaxTenantPending, 0 for that of all.
	// It is called in every Add, by many goroutines at a time.
	MaxPendingOf func(tenant string) int64
	// LiveCacheBytes bounds the values of live windows that were asked for
	// lately, and are kept beside their blobs where Blobs is a Decoder.
	// Default 64 MiB; negative: none are kept.
	LiveCacheBytes int64
	// Size is how many bytes of memory a value takes. It bounds what is
	// pending and what is cached, and may be an estimate. Default the length
	// of its blob, which costs an encoding for every value added.
	Size func(T) int64
	// Flushes is how many values are flushed at a time, and as many more of
	// tenants whose last flush failed. Default 10.
	Flushes int
	// Deadline bounds each attempt to store or index a value. Default 10 s.
	Deadline time.Duration
	// Backoff is the wait after a value's first failed attempt. It doubles
	// with each further one up to MaxBackoff, and each wait is spread by a
	// random half. Defaults 100 ms and 10 s.
	Backoff, MaxBackoff time.Duration
	// Committer, when the index offers one, stores blob and entry in one step
	// in place of Blobs.Put and Index.Put. It must be of the same store as
	// both of them.
	Committer index.Committer
	// Stored is called after each value that became discoverable, with the
	// length of its blob in bytes, by many goroutines at a time.
	Stored func(tenant string, e index.Entry, size int)

	// Past tunes how stored values are read. Where its Size, Registerer,
	// Namespace or Now are not set, those of the collector are used.
	Past QuantizerOptions[T]

	// Registerer takes the metrics; nil for none. Namespace leads their
	// names; default "timeblob".
	Registerer prometheus.Registerer
	Namespace  string
	// TracerProvider records the spans of flushes; default
	// otel.GetTracerProvider. Those of questions are recorded where that is
	// which the question's context holds.
	TracerProvider trace.TracerProvider
	// Logger is told of failed attempts, and of successes after them. Default
	// none.
	Logger *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// withDefaults returns a checked copy with every field set.
func (opts *CollectorOptions[T]) withDefaults(blobs Blobs[T]) (CollectorOptions[T], error) {
	o := CollectorOptions[T]{}
	if opts != nil {
		o = *opts
	}
	o.setTimes()
	orDefault(&o.MaxPending, 1<<30)
	orDefault(&o.LiveCacheBytes, 64<<20)
	orDefault(&o.Flushes, 10)
	orDefault(&o.Namespace, "timeblob")
	if o.Size == nil {
		o.Size = blobSize(blobs)
	}
	if o.Stored == nil {
		o.Stored = func(string, index.Entry, int) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	o.sharePast()
	return o, o.check()
}

func (o *CollectorOptions[T]) setTimes() {
	orDefault(&o.Window, 15*time.Second)
	orDefault(&o.Tick, 3*time.Second)
	orDefault(&o.Deadline, 10*time.Second)
	orDefault(&o.Backoff, 100*time.Millisecond)
	orDefault(&o.MaxBackoff, 10*time.Second)
}

// sharePast gives the quantizer what it was not given of its own.
func (o *CollectorOptions[T]) sharePast() {
	orDefault(&o.Past.Namespace, o.Namespace)
	if o.Past.Size == nil {
		o.Past.Size = o.Size
	}
	if o.Past.Registerer == nil {
		o.Past.Registerer = o.Registerer
	}
	if o.Past.Now == nil {
		o.Past.Now = o.Now
	}
}

func (o *CollectorOptions[T]) check() error {
	switch {
	case o.Tick < time.Millisecond:
		return fmt.Errorf("a tick of %v: must be at least 1ms", o.Tick)
	case o.Window < o.Tick:
		return fmt.Errorf("a window of %v is shorter than a tick of %v", o.Window, o.Tick)
	case o.MaxPending < 0 || o.MaxTenantPending < 0 || o.Flushes < 0:
		return fmt.Errorf("limits MaxPending %d, MaxTenantPending %d and Flushes %d must not be negative",
			o.MaxPending, o.MaxTenantPending, o.Flushes)
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

// blobSize weighs a value by its blob.
func blobSize[T any](blobs Blobs[T]) func(T) int64 {
	return func(v T) int64 {
		blob, err := blobs.Encode(v)
		if err != nil {
			return 0
		}
		return int64(len(blob))
	}
}
