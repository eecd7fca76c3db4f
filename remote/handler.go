package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/guard"
	"github.com/timeblob/timeblob/tiered"
)

// HandlerOptions tune a Handler; nil or a zero field means the default.
type HandlerOptions[T any] struct {
	// Questions answers PREFIX/range, PREFIX/steps and PREFIX/values, and
	// PREFIX/has and PREFIX/tenants where it is a Presence and a TenantLister.
	// Without it the handler refuses them.
	Questions Questions[T]
	// Clone is bucket.CollectorOptions.Clone: set it for types whose encoding
	// writes to the value. A value is then cloned before it is encoded.
	Clone func(T) T
}

// Handler serves what a collector holds, and the answers of questions. It holds
// the blob of one value at a time for each request. It sets no deadline: bound
// slow readers with the WriteTimeout of the http.Server.
type Handler[T any] struct {
	source    bucket.Source[T]
	questions Questions[T]
	codec     tiered.Codec[T]
	clone     func(T) T
}

// NewHandler returns a handler of a collector's values. The source is the
// collector; it may be nil in a process that holds nothing, which then answers
// questions only.
func NewHandler[T any](source bucket.Source[T], codec tiered.Codec[T], opts *HandlerOptions[T]) (*Handler[T], error) {
	o := HandlerOptions[T]{}
	if opts != nil {
		o = *opts
	}
	if codec == nil {
		return nil, errors.New("remote: the handler needs a codec")
	}
	if source == nil && o.Questions == nil {
		return nil, errors.New("remote: the handler needs a source or questions")
	}
	return &Handler[T]{source: source, questions: o.Questions, codec: codec, clone: o.Clone}, nil
}

// maxRandom bounds what is sent back of a request's random text.
const maxRandom = 64

// ServeHTTP implements http.Handler.
func (h *Handler[T]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store") // an earlier answer lacks what came since
	if random := r.Header.Get(questionHeader); random != "" {
		w.Header().Set(questionHeader, random[:min(len(random), maxRandom)])
	}
	out := &answer{w: w}
	if err := h.serve(out, r); err != nil {
		out.fail(err)
		return
	}
	_ = out.send(appendFrame(out.buffer(), kindEnd, nil)) // the client sees an answer that was cut short
}

func (h *Handler[T]) serve(out *answer, r *http.Request) error {
	if r.Method != http.MethodGet {
		return &requestError{"the method must be GET"}
	}
	what := path.Base(r.URL.Path)
	q, err := parseQuestion(what, r.URL.Query())
	if err != nil {
		return err
	}
	switch {
	case what == "held" && h.source != nil:
		return h.held(r.Context(), out, q)
	case what == "held-tenants":
		if s, ok := h.source.(bucket.TenantSource); ok {
			return out.tenants(s.HeldTenants(r.Context()))
		}
	case what == "range" && h.questions != nil:
		return h.merged(r.Context(), out, q)
	case what == "steps" && h.questions != nil:
		return h.steps(r.Context(), out, q)
	case what == "values" && h.questions != nil:
		return h.values(r.Context(), out, q)
	case what == "has":
		if p, ok := h.questions.(Presence); ok {
			return out.presence(p.Has(r.Context(), q.tenant, q.from, q.to))
		}
	case what == "tenants":
		if l, ok := h.questions.(TenantLister); ok {
			return out.tenants(l.Tenants(r.Context()))
		}
	}
	return &requestError{"this server does not serve " + strconv.Quote(what)}
}

// question is what a request asks.
type question struct {
	tenant   string   // the first one
	tenants  []string // all of them
	from, to time.Time
	step     time.Duration
	opts     bucket.RangeOptions
}

func parseQuestion(what string, query url.Values) (q question, err error) {
	if v := query.Get("v"); v != strconv.Itoa(version) {
		return q, &requestError{"the request has version " + strconv.Quote(v) + " of the format, and this server speaks version 1"}
	}
	if what == "tenants" || what == "held-tenants" {
		return q, nil
	}
	errs := make([]error, 4)
	if q.tenants = query["tenant"]; len(q.tenants) == 0 {
		q.tenants = []string{""}
	}
	if len(q.tenants) > 1 && what != "range" {
		return q, &requestError{"only range takes several tenants"}
	}
	q.tenant, q.opts.Partial = q.tenants[0], query.Get("partial") == "true"
	q.opts.Round = query.Get("round") == "true"
	q.from, errs[0] = time.Parse(time.RFC3339Nano, query.Get("from"))
	q.to, errs[1] = time.Parse(time.RFC3339Nano, query.Get("to"))
	if step := query.Get("step"); step != "" {
		q.step, errs[2] = time.ParseDuration(step)
	}
	if most := query.Get("max"); most != "" {
		q.opts.MaxBytes, errs[3] = strconv.ParseInt(most, 10, 64)
	}
	if err := errors.Join(errs...); err != nil {
		return q, &requestError{err.Error()}
	}
	return q, nil
}

func (h *Handler[T]) held(ctx context.Context, out *answer, q question) error {
	held, err := h.source.Held(ctx, q.tenant, q.from, q.to)
	if err != nil {
		return err
	}
	err = out.send(appendFrame(out.buffer(), kindHeld, func(b []byte) []byte {
		return append(appendInt(appendInt(b, held.Next), held.Since), held.Version...)
	}))
	for i := 0; i < len(held.Sealed) && err == nil; i++ {
		err = h.sealed(out, &held.Sealed[i])
	}
	if held.IsOpen && err == nil {
		err = h.open(out, &held)
	}
	return err
}

// sealed sends a sealed value, or why it cannot be read or encoded.
func (h *Handler[T]) sealed(out *answer, v *bucket.HeldValue[T]) error {
	cause := v.Err
	if held, ok := errors.AsType[*bucket.HeldError](cause); ok {
		cause = held.Err // the client knows the rest
	}
	var blob []byte
	if cause == nil {
		blob, cause = h.encode(v.Value)
	}
	if cause != nil {
		return out.send(appendFrame(out.buffer(), kindUnread, func(b []byte) []byte {
			return appendUnread(b, v.Entry, v.Own, v.Untried, cause)
		}))
	}
	return out.send(appendFrame(out.buffer(), kindSealed, func(b []byte) []byte {
		return append(appendEntry(b, v.Entry, v.Own, v.Untried), blob...)
	}))
}

// open sends the value of the open tick, or why it cannot be encoded.
func (h *Handler[T]) open(out *answer, held *bucket.Held[T]) error {
	blob, err := h.encode(held.Open)
	if err != nil {
		return out.send(appendFrame(out.buffer(), kindUnread, func(b []byte) []byte {
			return appendUnread(b, index.Entry{Time: held.Next}, false, false, err)
		}))
	}
	return out.send(appendFrame(out.buffer(), kindOpen, func(b []byte) []byte { return append(b, blob...) }))
}

func (h *Handler[T]) merged(ctx context.Context, out *answer, q question) error {
	a, err := h.questions.RangeMany(ctx, q.tenants, q.from, q.to, &q.opts)
	if err != nil {
		return err
	}
	return h.sendAnswer(out, bucket.Step[T]{From: a.From, To: a.To, Answer: a})
}

func (h *Handler[T]) steps(ctx context.Context, out *answer, q question) error {
	for step, err := range h.questions.Steps(ctx, q.tenant, q.from, q.to, q.step, &q.opts) {
		if err == nil {
			err = h.sendAnswer(out, step)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler[T]) values(ctx context.Context, out *answer, q question) error {
	for v, err := range h.questions.Values(ctx, q.tenant, q.from, q.to, &q.opts) {
		switch {
		case err != nil:
		case v.Err != nil:
			err = out.missing(bucket.Missing{Tenant: v.Tenant, Time: v.Time, Key: v.Key, Err: v.Err})
		default:
			err = h.value(out, &v, q.opts.Partial)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// value sends one value. A value that cannot be encoded is missing from a partial answer.
func (h *Handler[T]) value(out *answer, v *bucket.Value[T], partial bool) error {
	blob, err := h.encode(v.Value)
	if err != nil && partial {
		return out.missing(bucket.Missing{Tenant: v.Tenant, Time: v.Time, Key: v.Key, Err: err})
	}
	if err != nil {
		return err
	}
	return out.send(appendFrame(out.buffer(), kindValue, func(b []byte) []byte {
		return append(appendText(appendText(appendTime(b, v.Time), v.Tenant), v.Key), blob...)
	}))
}

// sendAnswer sends an answer after what it misses.
func (h *Handler[T]) sendAnswer(out *answer, s bucket.Step[T]) error {
	for _, m := range s.Missing {
		if err := out.missing(m); err != nil {
			return err
		}
	}
	head := func(b []byte) []byte {
		b = appendTime(appendTime(appendTime(b, s.From), s.To), s.Provisional)
		return appendInt(b, int64(s.Entries))
	}
	if s.Entries == 0 {
		return out.send(appendFrame(out.buffer(), kindAnswer, head))
	}
	blob, err := h.encode(s.Value)
	if err != nil {
		return err
	}
	return out.send(appendFrame(out.buffer(), kindAnswer, func(b []byte) []byte { return append(head(b), blob...) }))
}

func (h *Handler[T]) encode(v T) (blob []byte, err error) {
	defer guard.Recover("encode", &err)
	if h.clone != nil {
		v = h.clone(v)
	}
	return h.codec.Encode(v)
}

// answer is the answer to a request.
type answer struct {
	w     http.ResponseWriter
	begun bool
	buf   []byte
}

// buffer returns what the next frame is appended to.
func (a *answer) buffer() []byte {
	if a.begun {
		return a.buf[:0]
	}
	return append(a.buf[:0], magic...)
}

// send writes a frame, and what stands before the first one.
func (a *answer) send(frame []byte, err error) error {
	if err != nil {
		return err
	}
	if !a.begun {
		a.w.Header().Set("Content-Type", contentType)
		a.begun = true
	}
	a.buf = frame
	_, err = a.w.Write(frame)
	return err
}

func (a *answer) missing(m bucket.Missing) error {
	return a.send(appendFrame(a.buffer(), kindMissing, func(b []byte) []byte { return appendMissing(b, m) }))
}

// presence sends whether there are values.
func (a *answer) presence(has bool, err error) error {
	if err != nil {
		return err
	}
	return a.send(appendFrame(a.buffer(), kindPresence, func(b []byte) []byte { return appendBool(b, has) }))
}

// tenants sends ids, then the error that came with them.
func (a *answer) tenants(ids []string, failed error) error {
	for _, id := range ids {
		if err := a.send(appendFrame(a.buffer(), kindTenant, func(b []byte) []byte { return append(b, id...) })); err != nil {
			return err
		}
	}
	return failed
}

// fail ends the answer with an error.
func (a *answer) fail(err error) {
	if a.begun {
		_ = a.send(appendFrame(a.buffer(), kindFailed, func(b []byte) []byte { return appendFailure(b, err) }))
		return
	}
	reason := reasonOf(err)
	status := http.StatusInternalServerError
	if known, ok := statuses[reason]; ok {
		status = known
	}
	a.w.Header().Set(reasonHeader, string(reason))
	if detail := detailOf(err); detail != "" {
		a.w.Header().Set(detailHeader, detail)
	}
	http.Error(a.w, fmt.Sprint(err), status) // fmt calls an Error method that panics, too
}

// questionHeader holds a random text in a request, and the same text in its answer. So a client
// notices an answer that a proxy kept, or gave to another request.
const questionHeader = "Timeblob-Question"

// What the headers of an answer that failed before its first byte hold.
const (
	reasonHeader = "Timeblob-Reason" // the Reason
	detailHeader = "Timeblob-Detail" // what detailOf returned, unless that is nothing
)
