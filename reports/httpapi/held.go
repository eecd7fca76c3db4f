package httpapi

import (
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
	body, sent, err := h.encode(r.Context(), heldSize(&held), func() ([]byte, error) { return peers.EncodeHoldings(w.Header(), &held) })
	if err != nil {
		return err
	}
	defer sent()
	peers.EchoHeld(w.Header(), r.Header, tenant, q.From, q.To)
	w.Header().Set("Cache-Control", "no-store") // an earlier answer lacks what came since
	h.write(w, r, w.Header().Get("Content-Type"), body)
	return nil
}

// heldSize returns about how many bytes holdings take when they are encoded.
func heldSize(held *reports.Holdings) (size int64) {
	for _, v := range held.Sealed {
		if v.Err == nil {
			size += encodedSize(v.Value)
		}
	}
	if held.IsOpen {
		size += encodedSize(held.Open)
	}
	for _, s := range held.Shortcuts {
		size += encodedSize(s.Report)
	}
	return size
}

// refuseHeld refuses a query service that asks another one, or itself: query
// services that find each other under the name of the collectors would ask each
// other without end. The status differs from the 404 of Scope's collectors, after
// which a query service asks for the live window.
func refuseHeld(http.ResponseWriter, *request) error {
	return refuse(http.StatusMisdirectedRequest, "this is a query service, which holds nothing: leave it out of the collectors that are asked")
}
