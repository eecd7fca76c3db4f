package reports

import (
	"context"
	"errors"
	"fmt"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/report"
)

// maxCarried is how long a shortcut that came by the cache may be, inflated, in
// bytes: one that is longer would take too much to be held.
const maxCarried = 2 * maxTenantShortcutBytes

// maxKey is longer than any blob's key: 32 digits, a slash and 20 digits.
const maxKey = 64

// errNoBlob says that the cache does not hold, or no longer, what it should.
var errNoBlob = errors.New("the cache does not have it")

// tell has a shortcut carried to other services, unless too many wait to be.
func (h *shortcutHub) tell(tenant, key string, r *report.Report) {
	size := report.Size(r)
	if h.cache == nil || size > maxTenantShortcutBytes {
		r, size = nil, 0
	}
	taken := h.unsent.take(size)
	if taken && h.sending.try(func(ctx context.Context) {
		defer h.unsent.give(size)
		h.send(ctx, tenant, key, r)
	}) {
		return
	}
	if taken {
		h.unsent.give(size)
	}
	h.metrics.sent(resultDropped)
	h.complain("shortcut not told to other services: too many wait", "tenant", tenant)
}

// send puts a shortcut into the cache, unless it is nil, and publishes its key.
// That is published whatever becomes of the report: who waits is signalled.
func (h *shortcutHub) send(ctx context.Context, tenant, key string, r *report.Report) {
	if ctx.Err() != nil { // the hub closes
		h.metrics.sent(resultDropped)
		return
	}
	result := resultSignal
	if r != nil {
		result = resultCarried
		if err := h.store(ctx, key, r); err != nil {
			result = resultCacheFailed
			h.complain("shortcut not put into the cache: other services do not show it", "key", key, "error", err)
		}
	}
	subject, err := subjectOf(tenant)
	if err == nil {
		err = h.bus.Publish(ctx, subject, []byte(key))
	}
	if err != nil {
		result = resultBusFailed
		h.complain("shortcut not told to other services", "key", key, "error", err)
	}
	h.metrics.sent(result)
}

// store puts a shortcut into the cache within half of the time that is left for
// all.
func (h *shortcutHub) store(ctx context.Context, key string, r *report.Report) error {
	blob, err := h.codec.Encode(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, carryLimit/2)
	defer cancel()
	return h.cache.Put(ctx, key, blob)
}

// hear takes a message of a tenant's subject. Whatever it says, it signals who
// waits, as in Scope; but not a second time for a shortcut that is known, as
// every hub's own are when they come back.
func (h *shortcutHub) hear(tenant string, payload []byte) {
	key, ok := keyOf(tenant, payload)
	switch {
	case !ok:
		h.heard(tenant, resultForeign)
		h.complain("a message on the tenant's subject is no key of a blob of the tenant's",
			"tenant", tenant, "message", fmt.Sprintf("%.80q", payload))
	case !h.take(key):
		h.metrics.heard(resultKnown)
	case h.cache == nil:
		h.heard(tenant, resultSignal)
	case !h.fetching.try(func(ctx context.Context) { h.heard(tenant, h.fetch(ctx, tenant, key)) }):
		h.heard(tenant, resultDropped)
	}
}

// heard counts what became of a message and signals who waits.
func (h *shortcutHub) heard(tenant, result string) {
	h.metrics.heard(result)
	h.waiters.signal(tenant)
}

// keyOf returns the key in a message; false unless it is that of a blob of the
// tenant's.
func keyOf(tenant string, payload []byte) (key string, ok bool) {
	if len(payload) > maxKey {
		return "", false
	}
	key = string(payload)
	t, err := index.ParseBlobKey(key)
	return key, err == nil && index.RowAt(tenant, t).BlobKey(t) == key
}

// fetch gets a shortcut from the cache, holds it, and returns what became of
// it.
func (h *shortcutHub) fetch(ctx context.Context, tenant, key string) (result string) {
	blobs, err := h.cache.Get(ctx, []string{key})
	if len(blobs) == 0 || blobs[0] == nil {
		result = resultCacheFailed
		if err == nil {
			result, err = resultAbsent, errNoBlob
		}
		h.complain("shortcut of another service not had", "key", key, "error", err)
		return result
	}
	r, err := h.decode(blobs[0])
	if err != nil {
		h.complain("shortcut of another service refused", "key", key, "error", err)
		return resultRefused
	}
	if !h.hold(tenant, key, r, "", h.now()) {
		return resultLost
	}
	return resultCarried
}

// decode returns the shortcut in a blob, such as this service would have taken
// from a probe.
func (h *shortcutHub) decode(blob []byte) (*report.Report, error) {
	r, err := h.codec.Decode(blob)
	if err != nil {
		return nil, err
	}
	if !r.Shortcut {
		return nil, errors.New("it is no shortcut")
	}
	r, _, err = admissible(r, h.maxNodes)
	return r, err
}

// complain logs what goes wrong, at most once a second.
func (h *shortcutHub) complain(what string, about ...any) {
	h.trouble.Do(func() { h.logger.Warn(what, about...) })
}
