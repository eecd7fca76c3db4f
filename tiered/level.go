package tiered

import (
	"context"
	"time"
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
}

func newCacheLevel(c Cache, m *metrics, now func() time.Time) *level {
	l := &level{name: c.Name, tier: c.Tier, timeout: c.Timeout, metrics: m.tier(c.Name), now: now}
	l.queue = &queue{put: l.put, workers: c.WriteBacks, maxBytes: c.WriteBackBytes,
		results: m.writeBackResults(c.Name), done: make(chan struct{})}
	return l
}

func (l *level) isAuthority() bool { return l.queue == nil }

// get asks the tier for keys, which are unique, and counts what comes. Of
// what it returns beside an error the keys that are there count.
func (l *level) get(ctx context.Context, keys []string) (map[string][]byte, error) {
	bounded, cancel := l.bound(ctx)
	defer cancel()
	begin := l.now()
	blobs, err := l.traceGet(bounded, keys)
	l.metrics.gets(len(keys), hits(blobs, keys), err, l.now().Sub(begin))
	l.metrics.fault(ctx, err)
	if err != nil {
		return blobs, &TierError{Tier: l.name, Op: opGet, Keys: keys, Err: err}
	}
	return blobs, nil
}

// put stores a blob and counts it.
func (l *level) put(ctx context.Context, key string, blob []byte) error {
	bounded, cancel := l.bound(ctx)
	defer cancel()
	begin := l.now()
	err := l.tracePut(bounded, key, blob)
	l.metrics.putSeconds.Observe(l.now().Sub(begin).Seconds())
	l.metrics.fault(ctx, err)
	if err != nil {
		return &TierError{Tier: l.name, Op: opPut, Keys: []string{key}, Err: err}
	}
	return nil
}

func (l *level) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if l.timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, l.timeout)
}

// hits counts the keys that were asked for and found.
func hits(blobs map[string][]byte, keys []string) (n int) {
	for _, key := range keys {
		if _, ok := blobs[key]; ok {
			n++
		}
	}
	return n
}
