package httpapi

import (
	"context"
	"net/http"

	"github.com/timeblob/timeblob/bucket"
)

// Drain refuses the reports that are posted from now on: they are answered with
// 503, Retry-After and Connection: close. It returns when the earlier ones have
// been accepted or refused, or with the error of ctx. Questions are answered as
// before. Drain may be called again to wait again.
func (h *Handler) Drain(ctx context.Context) error {
	select {
	case <-h.posts.Close():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// untilDrained passes requests on to f until Drain is called.
func (h *Handler) untilDrained(f answerer) answerer {
	return func(w http.ResponseWriter, r *request) error {
		if !h.posts.Enter() {
			w.Header().Set("Connection", "close")
			return bucket.ErrClosed
		}
		defer h.posts.Leave()
		return f(w, r)
	}
}
