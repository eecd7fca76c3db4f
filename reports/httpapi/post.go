package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/reports/tenants"
)

// headerProbe holds the ID of a probe, as Scope's probes send it.
const headerProbe = "X-Scope-Probe-ID"

// postReport accepts a report, or counts why it is refused.
func (h *Handler) postReport(w http.ResponseWriter, r *request) error {
	tenant, err := r.Tenant()
	if err != nil {
		return err
	}
	err = h.receive(w, r, tenant)
	if err != nil {
		h.collector.CountRefused(tenant, refusalOf(r.Context(), err).reason())
	}
	return err
}

// receive reads a report and adds it. It checks the tenant's limits, the form and
// the size of the body before it reads the body. It reads the body before it
// takes a slot for decoding, so that slow clients take none.
func (h *Handler) receive(w http.ResponseWriter, r *request, tenant string) error {
	if err := h.collector.Admit(tenant); err != nil {
		return err
	}
	f, err := formOf(w, r.Request)
	if err != nil {
		return err
	}
	body := &body{budget: h.buffered, max: h.limits(tenant).Size}
	defer body.release()
	if err := body.read(r.Request); err != nil {
		return err
	}
	if f.gzipped {
		unstamp(body.data)
	}
	return h.decodeAndAdd(r.Context(), tenant, f, body.data, reports.Origin{Probe: r.Header.Get(headerProbe), Body: body.data})
}

// unstamp removes the time of compression from the header of a gzip'd body. A client that
// compresses a report again to repeat the post then sends the same bytes. The header is RFC
// 1952's: its fourth byte holds flags, such as the flag that a checksum of the header follows,
// and the next four bytes hold the time.
func unstamp(body []byte) {
	const flags, hasChecksum = 3, 1 << 1
	if len(body) >= 10 && body[flags]&hasChecksum == 0 {
		clear(body[flags+1 : flags+5])
	}
}

// usual is the inflated size of usual reports, in bytes; the report of a node with
// 60 pods has 0.8 MB. Larger reports have slots of their own, so that the memory
// and the time that they take do not delay others.
const usual = 2 << 20

// decodeAndAdd decodes a body and adds the report. It tries a slot for usual
// reports first.
func (h *Handler) decodeAndAdd(ctx context.Context, tenant string, f form, data []byte, from reports.Origin) error {
	most := h.limits(tenant).Inflated
	larger, err := h.addUpTo(ctx, h.codings, min(usual, most), tenant, f, data, from)
	if larger && usual < most {
		_, err = h.addUpTo(ctx, h.large, most, tenant, f, data, from)
	}
	return err
}

// addUpTo adds the report in a body that inflates to at most limit bytes, when a
// slot is free. It returns larger when the body is longer.
func (h *Handler) addUpTo(ctx context.Context, free slots, limit int64, tenant string, f form, data []byte, from reports.Origin) (larger bool, err error) {
	if err := free.enter(ctx); err != nil {
		return false, err
	}
	defer free.leave()
	err = h.add(ctx, tenant, f, data, limit, from)
	body, ok := errors.AsType[*reports.BodyError](err)
	if !ok {
		return false, err
	}
	e, ok := errors.AsType[*wire.TooLargeError](err)
	return ok && e.Limit == limit, refuseBody(body.Err)
}

// add decodes a body and adds the report. A body in the form that probes send goes
// to the collector as it is.
func (h *Handler) add(ctx context.Context, tenant string, f form, data []byte, limit int64, from reports.Origin) error {
	if f.gzipped && !f.json {
		return h.collector.AddBlob(ctx, tenant, data, limit, from)
	}
	_, decoding := spans.Child(ctx, "decode")
	r, err := f.decode(data, limit)
	decoding.End(err)
	if err != nil {
		return &reports.BodyError{Err: err}
	}
	return h.collector.Add(ctx, tenant, r, from)
}

// refuseBody returns the error that answers a body which cannot be decoded.
func refuseBody(err error) error {
	if e, ok := errors.AsType[*wire.TooLargeError](err); ok {
		return refuse(http.StatusRequestEntityTooLarge, "%v when inflated: send a smaller one", e)
	}
	return refuse(http.StatusBadRequest, "%v", err)
}

// form is the format of a body.
type form struct{ json, gzipped bool }

// formOf returns the form of a request's body, by its headers.
func formOf(w http.ResponseWriter, r *http.Request) (f form, err error) {
	given := r.Header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(given)
	switch {
	case err == nil && media == mediaMsgpack:
	case err == nil && media == mediaJSON:
		f.json = true
	default:
		return f, refuse(http.StatusBadRequest, "content type %.80q is neither %s nor %s", given, mediaMsgpack, mediaJSON)
	}
	switch coding := strings.Join(r.Header.Values("Content-Encoding"), ","); strings.ToLower(strings.TrimSpace(coding)) {
	case "", "identity":
	case "gzip", "x-gzip":
		f.gzipped = true
	default:
		w.Header().Set("Accept-Encoding", "gzip, identity")
		return f, refuse(http.StatusUnsupportedMediaType, "content coding %.80q is neither gzip nor identity", coding)
	}
	return f, nil
}

// decode returns the report in a body that inflates to at most limit bytes.
func (f form) decode(data []byte, limit int64) (*report.Report, error) {
	if !f.gzipped && bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return nil, errors.New("the body is gzip'd but header Content-Encoding does not say so: send Content-Encoding: gzip")
	}
	plain, err := wire.ReadBody(bytes.NewReader(data), f.gzipped, limit)
	if err != nil {
		return nil, err
	}
	if f.json {
		return wire.DecodeJSON(plain)
	}
	return wire.DecodeMsgpack(plain)
}

// limits returns the limits of a tenant's body: the tenant's own, or the
// handler's.
func (h *Handler) limits(tenant string) tenants.Limits {
	own := h.opts.Tenants().Limits(tenant)
	own.Size = cmp.Or(own.Size, h.opts.MaxBody)
	own.Inflated = cmp.Or(own.Inflated, h.opts.MaxInflated)
	return own
}
