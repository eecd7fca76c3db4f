package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/timeblob/timeblob/bucket"
)

// defaultWait is how long GET /api/wait waits without the parameter timeout.
const defaultWait = 30 * time.Second

// getWait answers when a shortcut of the tenant arrives, or when the time to wait
// has passed.
func (h *Handler) getWait(w http.ResponseWriter, r *request) error {
	tenant, err := r.Tenant()
	if err != nil {
		return err
	}
	p, err := parseParams(r.URL.RawQuery, "timeout")
	if err != nil {
		return err
	}
	limit, err := h.waitLimit(p)
	if err != nil {
		return err
	}
	if !h.waiting.reserve(1) {
		return tryLater("too many requests wait already: try again later")
	}
	defer h.waiting.give(1)
	came, err := h.await(r.Context(), tenant, limit)
	if err != nil {
		return err
	}
	if !came {
		w.Header().Set("Cache-Control", "no-cache")
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return h.sendJSON(w, r, map[string]bool{"shortcut": true})
}

// waitLimit returns how long to wait. The timeout of answers bounds it, and the
// deadlines of every request allow for that.
func (h *Handler) waitLimit(p params) (time.Duration, error) {
	if p.get("timeout") == "" {
		return min(defaultWait, h.opts.Timeout), nil
	}
	limit, err := p.duration("timeout")
	if err == nil && limit > h.opts.Timeout {
		err = refuse(http.StatusBadRequest, "parameter timeout: at most %v", h.opts.Timeout)
	}
	return limit, err
}

// await returns true when a shortcut arrives, and false when none arrives within
// the limit. It returns an error when the client leaves, or the server or the
// collector closes.
func (h *Handler) await(ctx context.Context, tenant string, limit time.Duration) (came bool, err error) {
	signal := make(chan struct{}, 1)
	if err := h.hub.WaitOn(tenant, signal); err != nil {
		return false, err
	}
	defer h.hub.UnWait(tenant, signal)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-signal:
		return true, nil
	case <-timer.C:
		return false, nil
	case <-h.stopping:
		return false, bucket.ErrClosed
	case <-h.hub.Ended():
		return false, bucket.ErrClosed
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) { // it may end together with the limit
			return false, nil
		}
		return false, ctx.Err()
	}
}

// endWaits makes all requests that wait, and later ones, end at once.
func (h *Handler) endWaits() { h.stopOnce.Do(func() { close(h.stopping) }) }
