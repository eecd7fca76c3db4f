package tiered

import (
	"context"
	"fmt"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/internal/tracing"
)

// level is one tier in a store's order: a cache, with a deadline and a queue
// of blobs to write, or the authority, with neither.
type level struct {
	name    string
	tier    Tier
	timeout time.Duration // 0: the caller's context alone bounds an operation
	metrics tierMetrics
	queue   *queue // nil: the authority
	now     func() time.Time

	sumsOnly bool // Cache.SumsOnly
}

func newCacheLevel(c Cache, m *metrics, now func() time.Time) *level {
	l := &level{name: c.Name, tier: c.Tier, timeout: c.Timeout, metrics: m.tier(c.Name), now: now, sumsOnly: c.SumsOnly}
	l.queue = &queue{put: l.put, workers: c.WriteBacks, maxBytes: c.WriteBackBytes,
		results: m.writeBackResults(c.Name), done: make(chan struct{})}
	return l
}

func (l *level) isAuthority() bool { return l.queue == nil }

// reads reports whether the tier may hold the blob of a ref.
func (l *level) reads(ref blob.Ref) bool { return !l.sumsOnly || ref.Sum.Known() }

// get asks the tier for keys, which are unique, and counts what comes. It
// always returns a blob, or nil, for each key.
func (l *level) get(ctx context.Context, keys []string) ([][]byte, error) {
	bounded, cancel := l.bound(ctx)
	defer cancel()
	begin := l.now()
	blobs, err := l.read(bounded, keys)
	l.metrics.gets(len(keys), hits(blobs), err, l.now().Sub(begin))
	l.metrics.fault(ctx, err)
	if err != nil {
		return blobs, &TierError{Tier: l.name, Op: opGet, Keys: keys, Err: err}
	}
	return blobs, nil
}

// read is the tier's Get in a span. An answer of another length than keys tells
// nothing about any key.
func (l *level) read(ctx context.Context, keys []string) ([][]byte, error) {
	ctx, getting := spans.Child(ctx, "read")
	blobs, err := l.tier.Get(ctx, keys)
	if len(blobs) != len(keys) {
		if err == nil {
			err = fmt.Errorf("the tier answered %d keys with %d blobs", len(keys), len(blobs))
		}
		blobs = make([][]byte, len(keys))
	}
	if getting.Recording() {
		getting.Text(tracing.Tier, l.name)
		getting.Int(tracing.Keys, len(keys))
		getting.Int(tracing.Found, hits(blobs))
		getting.Int(tracing.Bytes, size(blobs))
	}
	getting.End(err)
	return blobs, err
}

// put stores a blob and counts it.
func (l *level) put(ctx context.Context, key string, blob []byte) error {
	bounded, cancel := l.bound(ctx)
	defer cancel()
	begin := l.now()
	err := l.write(bounded, key, blob)
	l.metrics.putSeconds.Observe(l.now().Sub(begin).Seconds())
	l.metrics.fault(ctx, err)
	if err != nil {
		return &TierError{Tier: l.name, Op: opPut, Keys: []string{key}, Err: err}
	}
	return nil
}

// write is the tier's Put in a span.
func (l *level) write(ctx context.Context, key string, blob []byte) error {
	ctx, putting := spans.Child(ctx, "write")
	putting.Text(tracing.Tier, l.name)
	putting.Int(tracing.Bytes, len(blob))
	err := l.tier.Put(ctx, key, blob)
	putting.End(err)
	return err
}

func (l *level) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if l.timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, l.timeout)
}

// hits counts the blobs that were found.
func hits(blobs [][]byte) (n int) {
	for _, blob := range blobs {
		if blob != nil {
			n++
		}
	}
	return n
}

// size is the length of all blobs.
func size(blobs [][]byte) (n int) {
	for _, blob := range blobs {
		n += len(blob)
	}
	return n
}
