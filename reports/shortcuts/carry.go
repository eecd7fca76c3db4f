package shortcuts

import (
	"context"
	"errors"
	"fmt"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/report"
)

// maxKey is longer than any blob's key: 32 digits, a slash and 20 digits.
const maxKey = 64

// errNoBlob is returned for a blob that is not, or no longer, in the cache.
var errNoBlob = errors.New("the cache does not hold it")

// announce queues a shortcut for other services. It drops and counts the
// shortcut when too many wait.
func (h *Hub) announce(tenant, key string, r *report.Report) {
	size := report.Size(r)
	if h.Cache == nil || size > maxTenantShortcutBytes {
		r, size = nil, 0
	}
	if h.unsent.TryAcquire(size) {
		queued := h.sending.Try(func(ctx context.Context) {
			defer h.unsent.Release(size)
			h.send(ctx, tenant, key, r)
		})
		if queued {
			return
		}
		h.unsent.Release(size)
	}
	h.metrics.sent(resultDropped)
	h.warn("shortcut not sent to other services: too many wait", "tenant", tenant)
}

// send puts a shortcut into the cache, unless it is nil, and publishes its key.
// It publishes the key even if the cache fails, so that waiting clients are
// signalled.
func (h *Hub) send(ctx context.Context, tenant, key string, r *report.Report) {
	if ctx.Err() != nil { // the hub closes
		h.metrics.sent(resultDropped)
		return
	}
	result := resultSignal
	if r != nil {
		result = resultCarried
		if err := h.put(ctx, key, r); err != nil {
			result = resultCacheFailed
			h.warn("shortcut not put into the cache: other services do not show it", "key", key, "err", err)
		}
	}
	subject, err := subjectOf(tenant)
	if err == nil {
		err = h.Bus.Publish(ctx, subject, []byte(key))
	}
	if err != nil {
		result = resultBusFailed
		h.warn("shortcut not sent to other services", "key", key, "err", err)
	}
	h.metrics.sent(result)
}

// put puts a shortcut into the cache. It takes at most half of the time for
// sending, so that publishing has the other half.
func (h *Hub) put(ctx context.Context, key string, r *report.Report) error {
	blob, err := h.codec.Encode(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, carryLimit/2)
	defer cancel()
	return h.Cache.Put(ctx, key, blob)
}

// receive handles a message on a tenant's subject. Any message signals the
// waiting clients, as in Scope, except the key of a known shortcut: a hub also
// receives its own messages.
func (h *Hub) receive(tenant string, payload []byte) {
	key, ok := keyOf(tenant, payload)
	switch {
	case !ok:
		h.signal(tenant, resultForeign)
		h.warn("a message on the tenant's subject is not a key of a blob of the tenant",
			"tenant", tenant, "message", fmt.Sprintf("%.80q", payload))
	case !h.claim(key):
		h.metrics.received(resultKnown)
	case h.Cache == nil:
		h.signal(tenant, resultSignal)
	case !h.fetching.Try(func(ctx context.Context) { h.signal(tenant, h.fetch(ctx, tenant, key)) }):
		h.signal(tenant, resultDropped)
	}
}

// signal counts the result of a message and signals the waiting clients.
func (h *Hub) signal(tenant, result string) {
	h.metrics.received(result)
	h.waiters.signal(tenant)
}

// keyOf returns the key in a message. It returns false for anything but the key
// of a blob of the tenant.
func keyOf(tenant string, payload []byte) (key string, ok bool) {
	if len(payload) > maxKey {
		return "", false
	}
	key = string(payload)
	t, err := index.ParseBlobKey(key)
	return key, err == nil && index.RowAt(tenant, t).BlobKey(t) == key
}

// fetch gets a shortcut from the cache and keeps it. It returns the result to
// count.
func (h *Hub) fetch(ctx context.Context, tenant, key string) (result string) {
	blobs, err := h.Cache.Get(ctx, []string{key})
	if len(blobs) == 0 || blobs[0] == nil {
		result = resultCacheFailed
		if err == nil {
			result, err = resultAbsent, errNoBlob
		}
		h.warn("cannot fetch a shortcut of another service", "key", key, "err", err)
		return result
	}
	r, err := h.decode(blobs[0])
	if err != nil {
		h.warn("shortcut of another service refused", "key", key, "err", err)
		return resultRefused
	}
	if !h.keep(tenant, key, r, "") {
		return resultLost
	}
	return resultCarried
}

// decode returns the shortcut in a blob, checked as if a probe had posted it.
func (h *Hub) decode(blob []byte) (*report.Report, error) {
	r, err := h.codec.Decode(blob)
	if err != nil {
		return nil, err
	}
	if !r.Shortcut {
		return nil, errors.New("the report is not a shortcut")
	}
	return h.Check(r)
}

// warn logs a warning, at most one a second.
func (h *Hub) warn(message string, args ...any) {
	h.warnings.Do(func() { h.Logger.Warn(message, args...) })
}
