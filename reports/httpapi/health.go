package httpapi

import (
	"fmt"
	"net/http"
	"strings"
)

// Withdraw makes /readyz answer 503 from now on, so that load balancers send no
// more requests here. Requests are answered as before.
func (h *Handler) Withdraw() { h.health.Withdraw() }

// getHealth answers that the process serves, even while it shuts down.
func getHealth(w http.ResponseWriter, _ *request) error {
	return sendLines(w, http.StatusOK, "ok")
}

// getReady answers whether requests should be sent here, and why not.
func (h *Handler) getReady(w http.ResponseWriter, r *request) error {
	reasons, notes := h.health.Ask(r.Context())
	if len(reasons) > 0 {
		return sendLines(w, http.StatusServiceUnavailable, append(reasons, notes...)...)
	}
	return sendLines(w, http.StatusOK, append([]string{"ready"}, notes...)...)
}

func sendLines(w http.ResponseWriter, status int, lines ...string) error {
	w.Header().Set("Content-Type", mediaText)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, strings.Join(lines, "\n")) // an error means that the client left
	return nil
}
