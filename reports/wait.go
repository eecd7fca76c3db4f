package reports

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/timeblob/timeblob/bucket"
)

// usualWait is how long GET /api/wait waits unless it is told otherwise.
const usualWait = 30 * time.Second

// getWait answers when a shortcut of the tenant has come, or when none did for
// as long as the client is willing to wait.
func (h *Handler) getWait(w http.ResponseWriter, r *http.Request) error {
	tenant, err := h.tenant(r)
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
	if !h.waiting.take(1) {
		return &refusal{status: http.StatusServiceUnavailable, text: "too many wait already: try again later", retry: true}
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

// waitLimit reads how long to wait. What an answer may take bounds it, and with
// that the deadlines that every request has.
func (h *Handler) waitLimit(p params) (time.Duration, error) {
	if p.get("timeout") == "" {
		return min(usualWait, h.opts.Timeout), nil
	}
	limit, err := p.duration("timeout")
	if err == nil && limit > h.opts.Timeout {
		err = refuse(http.StatusBadRequest, "parameter timeout: at most %v", h.opts.Timeout)
	}
	return limit, err
}

// await returns true as soon as a shortcut has come, false when none did within
// the limit; an error when the client left, or the server or the collector is
// about to end.
func (h *Handler) await(ctx context.Context, tenant string, limit time.Duration) (came bool, err error) {
	signal := make(chan struct{}, 1)
	if err := h.hub.wait(tenant, signal); err != nil {
		return false, err
	}
	defer h.hub.unwait(tenant, signal)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-signal:
		return true, nil
	case <-timer.C:
		return false, nil
	case <-h.stopping:
		return false, bucket.ErrClosed
	case <-h.hub.ended:
		return false, bucket.ErrClosed
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) { // as long as the limit
			return false, nil
		}
		return false, ctx.Err()
	}
}

// endWaits has all who wait, and will, answered at once.
func (h *Handler) endWaits() { h.stopOnce.Do(func() { close(h.stopping) }) }
