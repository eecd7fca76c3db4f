package memcache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	gomemcache "github.com/bradfitz/gomemcache/memcache"
	"golang.org/x/sync/semaphore"

	"github.com/timeblob/timeblob/internal/tracing"
)

// Tier is a cache of blobs on memcached servers. It satisfies tiered.Tier as a cache: it may forget blobs, a
// Put overwrites, and blobs above the limit are not stored. It is safe for concurrent use. Call Close at the
// end.
type Tier struct {
	opts       Options
	expiration int32
	servers    Servers
	metrics    *metrics
	calls      *calls
	gate       *semaphore.Weighted // limits the requests under way
	ring       atomic.Pointer[ring]

	stop      context.CancelFunc // ends keepFresh
	refreshed chan struct{}      // closed when keepFresh has ended
}

// Get returns the blob of each key, by index. A blob is nil when its server does not have it, and when
// memcached does not allow the key (empty, over 250 bytes, with spaces or control characters). Keys may
// repeat. When a server fails or time is up, Get returns an error together with the blobs that it has.
func (t *Tier) Get(ctx context.Context, keys []string) ([][]byte, error) {
	bounded, end, err := t.calls.begin(ctx, t.opts.Timeout)
	if err != nil {
		return nil, err
	}
	defer end()
	begin := time.Now()
	found, err := t.traceGet(bounded, keys)
	t.metrics.requests.Add(float64(len(keys)))
	t.metrics.hits.Add(float64(len(found)))
	t.metrics.observe(ctx, methodGet, err, time.Since(begin))
	blobs := make([][]byte, len(keys))
	for i, key := range keys {
		if item := found[key]; item != nil {
			blobs[i] = item.Value
		}
	}
	return blobs, err
}

// Put stores a blob under a key for Options.TTL and replaces an earlier blob. A blob above Options.MaxItem
// bytes, or a key that memcached does not allow, is skipped and counted; that is not an error. After an error
// the blob may be stored or not.
func (t *Tier) Put(ctx context.Context, key string, blob []byte) error {
	bounded, end, err := t.calls.begin(ctx, t.opts.Timeout)
	if err != nil {
		return err
	}
	defer end()
	switch {
	case !legal(key):
		t.metrics.skippedKey.Inc()
		return nil
	case len(blob) > t.opts.MaxItem:
		t.metrics.skippedSize.Inc()
		return nil
	}
	begin := time.Now()
	err = t.tracePut(bounded, key, blob)
	t.metrics.observe(ctx, methodPut, err, time.Since(begin))
	return err
}

// Delete removes the blobs of keys from their servers. It ignores keys that memcached does not allow. When a
// server fails or time is up, Delete returns an error, and the server's blobs may stay until their TTL ends.
func (t *Tier) Delete(ctx context.Context, keys []string) error {
	bounded, end, err := t.calls.begin(ctx, t.opts.Timeout)
	if err != nil {
		return err
	}
	defer end()
	r := t.ring.Load()
	if len(r.servers) == 0 && len(keys) > 0 {
		return ErrNoServers
	}
	var errs []error
	for _, b := range r.batches(keys, t.opts.BatchKeys) {
		errs = append(errs, t.exchange(bounded, b.server, b.delete))
	}
	return errors.Join(errs...)
}

// delete removes the keys of a batch one after the other.
func (b batch) delete(c *gomemcache.Client) error {
	for _, key := range b.keys {
		if err := c.Delete(key); err != nil && !errors.Is(err, gomemcache.ErrCacheMiss) {
			return err
		}
	}
	return nil
}

// Close ends the calls under way, which return ErrClosed. It returns when they have returned, all connections
// are closed and no goroutine is left. It may be called more than once.
func (t *Tier) Close() error {
	t.stop()
	t.calls.close()
	<-t.refreshed
	t.retire()
	return nil
}

func (t *Tier) retire() {
	for _, s := range t.ring.Load().servers {
		s.retire()
	}
}

// traceGet runs get in a span.
func (t *Tier) traceGet(ctx context.Context, keys []string) (map[string]*gomemcache.Item, error) {
	ctx, asking := client(ctx, "Get")
	found, err := t.get(ctx, keys)
	if asking.Recording() {
		bytes := 0
		for _, item := range found {
			bytes += len(item.Value)
		}
		asking.Int(tracing.Keys, len(keys))
		asking.Int(tracing.Found, len(found))
		asking.Int(tracing.Bytes, bytes)
	}
	asking.End(err)
	return found, err
}

// tracePut runs put in a span.
func (t *Tier) tracePut(ctx context.Context, key string, blob []byte) error {
	ctx, asking := client(ctx, "Put")
	asking.Int(tracing.Bytes, len(blob))
	err := t.put(ctx, key, blob)
	asking.End(err)
	return err
}

func (t *Tier) put(ctx context.Context, key string, blob []byte) error {
	r := t.ring.Load()
	if len(r.servers) == 0 {
		return ErrNoServers
	}
	item := &gomemcache.Item{Key: key, Value: blob, Expiration: t.expiration}
	return t.exchange(ctx, r.server(key), func(c *gomemcache.Client) error { return c.Set(item) })
}

// get returns the items that the servers have.
func (t *Tier) get(ctx context.Context, keys []string) (map[string]*gomemcache.Item, error) {
	r := t.ring.Load()
	if len(r.servers) == 0 && len(keys) > 0 {
		return nil, ErrNoServers
	}
	a := answer{found: make(map[string]*gomemcache.Item, len(keys))}
	batches := r.batches(keys, t.opts.BatchKeys)
	if len(batches) == 1 {
		t.ask(ctx, batches[0], &a)
		return a.found, a.err()
	}
	var asked sync.WaitGroup
	for _, b := range batches {
		asked.Go(func() { t.ask(ctx, b, &a) })
	}
	asked.Wait()
	return a.found, a.err()
}

// ask adds the items of one batch to a.
func (t *Tier) ask(ctx context.Context, b batch, a *answer) {
	var items map[string]*gomemcache.Item
	err := t.exchange(ctx, b.server, func(c *gomemcache.Client) (err error) {
		items, err = c.GetMulti(b.keys)
		return err
	})
	a.add(b, items, err)
}

// exchange waits for a slot and then runs work on a server.
func (t *Tier) exchange(ctx context.Context, s *server, work func(*gomemcache.Client) error) error {
	if t.gate.Acquire(ctx, 1) != nil {
		return ended(ctx)
	}
	defer t.gate.Release(1)
	return s.exchange(ctx, work)
}

// answer collects the results of one Get.
type answer struct {
	mu    sync.Mutex // guards the fields below
	found map[string]*gomemcache.Item
	errs  map[*server]error // the first error of each server
}

// add adds the result of a batch: the items that were asked for, and an error if there is one.
func (a *answer) add(b batch, items map[string]*gomemcache.Item, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, key := range b.keys {
		if item := items[key]; item != nil {
			a.found[key] = item
		}
	}
	if err == nil || a.errs[b.server] != nil {
		return
	}
	if a.errs == nil {
		a.errs = make(map[*server]error)
	}
	a.errs[b.server] = err
}

func (a *answer) err() error {
	var all error
	for _, err := range a.errs {
		all = errors.Join(all, err)
	}
	return all
}
