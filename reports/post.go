package reports

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// headerProbe is the header in which Scope's probes send their ID.
const headerProbe = "X-Scope-Probe-ID"

// postReport takes a report, and counts one that it refuses.
func (h *Handler) postReport(w http.ResponseWriter, r *http.Request) error {
	tenant, err := h.tenant(r)
	if err != nil {
		return err
	}
	err = h.receive(w, r, tenant)
	if err != nil {
		h.collector.metrics.countRefused(tenant, refusalOf(r.Context(), err).reason())
	}
	return err
}

// receive takes a report. The tenant's limits, the form and the size of the body
// are checked before it is read; it is read before it takes a place among those
// being decoded, so that slow clients take none.
func (h *Handler) receive(w http.ResponseWriter, r *http.Request, tenant string) error {
	if err := h.collector.mayPost(tenant); err != nil {
		return err
	}
	f, err := formOf(w, r)
	if err != nil {
		return err
	}
	body := &body{budget: h.buffered, max: h.limits(tenant).Size}
	defer body.release()
	if err := body.read(r); err != nil {
		return err
	}
	return h.take(r.Context(), tenant, f, body.data, Origin{Probe: r.Header.Get(headerProbe), Size: len(body.data)})
}

// usual is what reports inflate to, in bytes: that of a node of 60 pods is 0.8
// MB. What is larger waits for others that are, so that neither their memory
// nor their time is everybody's.
const usual = 2 << 20

// take decodes a body and adds the report.
func (h *Handler) take(ctx context.Context, tenant string, f form, data []byte, from Origin) error {
	most := h.limits(tenant).Inflated
	larger, err := h.takeUpTo(ctx, h.codings, min(usual, most), tenant, f, data, from)
	if larger && usual < most {
		_, err = h.takeUpTo(ctx, h.large, most, tenant, f, data, from)
	}
	return err
}

// takeUpTo is take of what inflates to limit bytes at most, once the gate lets
// it in; larger is true for what does not.
func (h *Handler) takeUpTo(ctx context.Context, g gate, limit int64, tenant string, f form, data []byte, from Origin) (larger bool, err error) {
	if err := g.enter(ctx); err != nil {
		return false, err
	}
	defer g.leave()
	err = h.add(ctx, tenant, f, data, limit, from)
	body, ok := errors.AsType[*BodyError](err)
	if !ok {
		return false, err
	}
	e, ok := errors.AsType[*wire.TooLargeError](err)
	return ok && e.Limit == limit, refuseBody(body.Err)
}

// add adds the report in a body of at most limit bytes, inflated.
func (h *Handler) add(ctx context.Context, tenant string, f form, data []byte, limit int64, from Origin) error {
	if f.gzipped && !f.json {
		return h.collector.AddBlob(ctx, tenant, data, limit, from)
	}
	_, decoding := spans.Child(ctx, "decode")
	r, err := f.decode(data, limit)
	decoding.End(err)
	if err != nil {
		return &BodyError{err}
	}
	return h.collector.Add(ctx, tenant, r, from)
}

// refuseBody says what is wrong with a body that does not decode.
func refuseBody(err error) error {
	if e, ok := errors.AsType[*wire.TooLargeError](err); ok {
		return refuse(http.StatusRequestEntityTooLarge, "%v when inflated: send a smaller one", e)
	}
	return refuse(http.StatusBadRequest, "%v", err)
}

// form is how a body is written.
type form struct{ json, gzipped bool }

// formOf reads off a request how its body is written.
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

// decode returns the report in a body of at most limit bytes, inflated.
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

// body is what a client sends, within a limit of its own and one that all
// share.
type body struct {
	budget *budget
	max    int64
	data   []byte
	taken  int64 // from the budget
}

// A body is read in pieces of at least room bytes, the first in one of first:
// little, since what thousands of slow clients hold adds up.
const first, room = 1 << 10, 512

// read reads the body of a request to its end. It holds at most twice what has
// come so far, however long the client says that the body is, and never more
// than two rooms beyond max.
func (b *body) read(r *http.Request) error {
	if r.ContentLength > b.max {
		return b.tooLarge()
	}
	for {
		if size := int64(cap(b.data)); size-int64(len(b.data)) < room {
			if err := b.grow(min(max(first, size), b.max+2*room-size)); err != nil {
				return err
			}
		}
		n, err := r.Body.Read(b.data[len(b.data):cap(b.data)])
		b.data = b.data[:len(b.data)+n]
		switch {
		case int64(len(b.data)) > b.max:
			return b.tooLarge()
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return cutShort(err)
		}
	}
}

func (b *body) tooLarge() error {
	return refuse(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes: send a smaller report", b.max)
}

// grow makes room for more bytes, which it takes from the budget.
func (b *body) grow(more int64) error {
	if !b.budget.take(more) {
		return &refusal{status: http.StatusServiceUnavailable,
			text: "too many requests are under way: try again later", retry: true}
	}
	b.taken += more
	b.data = slices.Grow(b.data, int(more))
	return nil
}

func (b *body) release() { b.budget.give(b.taken) }

// cutShort says why a body was not read to its end.
func cutShort(err error) error {
	if f := ownRefusal(err); f != nil {
		return f
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return refuse(http.StatusRequestTimeout, "the body did not come in time: send it faster")
	}
	return refuse(http.StatusBadRequest, "the body ended early: %v", err)
}
