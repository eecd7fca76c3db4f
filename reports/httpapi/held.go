package httpapi

import (
	"context"
	"net/http"

	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/peers"
)

// getHeld answers with what this collector holds of a tenant and the store may
// lack, from start until just before end, and with its shortcuts.
func (h *Handler) getHeld(w http.ResponseWriter, r *request) error {
	tenant, err := r.Tenant()
	if err != nil {
		return err
	}
	p, err := parseParams(r.URL.RawQuery, rangeParams...)
	if err != nil {
		return err
	}
	q, err := p.between(h.collector.AfterNow())
	if err != nil {
		return err
	}
	held, err := h.collector.Held(r.Context(), tenant, q.From, q.To)
	if err != nil {
		return err
	}
	body, err := h.encodeHeld(r.Context(), w.Header(), held)
	if err != nil {
		return err
	}
	peers.EchoHeld(w.Header(), r.Header, tenant, q.From, q.To)
	w.Header().Set("Cache-Control", "no-store") // an earlier answer lacks what came since
	return h.send(w, r, w.Header().Get("Content-Type"), body)
}

// refuseHeld refuses a query service that asks another one, or itself: query
// services that find each other under the name of the collectors would ask each
// other without end. The status differs from the 404 of Scope's collectors, after
// which a query service asks for the live window.
func refuseHeld(http.ResponseWriter, *request) error {
	return refuse(http.StatusMisdirectedRequest, "this is a query service, which holds nothing: leave it out of the collectors that are asked")
}

// encodeHeld encodes holdings when a slot is free.
func (h *Handler) encodeHeld(ctx context.Context, head http.Header, held reports.Holdings) ([]byte, error) {
	if err := h.codings.enter(ctx); err != nil {
		return nil, err
	}
	defer h.codings.leave()
	return peers.EncodeHoldings(head, &held)
}
