package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/tiered"
)

// statusClientClosed is the status of a request whose client left, as in nginx and
// Scope.
const statusClientClosed = 499

// retryAfter is a tick, after which some of the waiting reports are stored.
const retryAfter = 3 * time.Second

// refusal is an answer with a status other than 200, and a line that says why.
type refusal struct {
	status int
	text   string
	retry  bool // the same request may succeed later

	after     time.Duration // when to try again; 0 for retryAfter
	challenge string        // how to send credentials
}

func (f *refusal) Error() string { return f.text }

func refuse(status int, format string, args ...any) error {
	return &refusal{status: status, text: fmt.Sprintf(format, args...)}
}

// tryLater returns a refusal with status 503 of a request that may succeed later.
func tryLater(text string) error {
	return &refusal{status: http.StatusServiceUnavailable, text: text, retry: true}
}

// refusalOf returns the answer to a request with context ctx that failed with
// err.
func refusalOf(ctx context.Context, err error) *refusal {
	return cmp.Or(ownRefusal(err), clientFault(err), busy(err), ended(ctx, err), keysOf(err),
		&refusal{status: http.StatusInternalServerError,
			text: "the request failed here, through no fault of the client: the collector's log says why"})
}

func ownRefusal(err error) *refusal {
	f, _ := errors.AsType[*refusal](err)
	return f
}

// reason returns why a report was refused, for metrics. It returns "" when the
// cause is neither a limit nor the report.
func (f *refusal) reason() string {
	switch f.status {
	case http.StatusTooManyRequests:
		if f.after > 0 {
			return reports.RefusedRate
		}
		return reports.RefusedPending
	case http.StatusRequestEntityTooLarge:
		return reports.RefusedSize
	case http.StatusServiceUnavailable:
		return reports.RefusedFull
	case http.StatusBadRequest, http.StatusUnsupportedMediaType:
		return reports.RefusedInvalid
	}
	return ""
}

// clientFault returns the answer to a wrong request, or nil.
func clientFault(err error) *refusal {
	if fault := reports.ClientFault(err); fault != nil {
		return &refusal{status: http.StatusBadRequest, text: fault.Error()}
	}
	return nil
}

// busy returns the answer to a request that may succeed later, and to a report
// that is too large for ever; else nil.
func busy(err error) *refusal {
	if e, ok := errors.AsType[*bucket.FullError](err); ok {
		switch {
		case e.Size > e.Limit: // for ever
			return &refusal{status: http.StatusRequestEntityTooLarge, text: e.Error()}
		case e.OfTenant:
			return &refusal{status: http.StatusTooManyRequests, text: e.Error(), retry: true}
		}
		return &refusal{status: http.StatusServiceUnavailable, text: e.Error(), retry: true}
	}
	if e, ok := errors.AsType[*bucket.JournalError](err); ok {
		text := e.Error()
		if _, disk := errors.AsType[*fs.PathError](err); disk { // which would tell the client names of files
			text = "the disk of the journal fails: the collector's log says why"
		}
		return &refusal{status: http.StatusServiceUnavailable, text: text, retry: true}
	}
	if e, ok := errors.AsType[*reports.RateError](err); ok {
		return &refusal{status: http.StatusTooManyRequests, text: e.Error(), retry: true, after: e.Wait}
	}
	if e, ok := errors.AsType[*bucket.TenantLimitError](err); ok {
		return &refusal{status: http.StatusServiceUnavailable, retry: true, text: fmt.Sprintf(
			"tenant %q is new, and the collector holds reports of %s, which is its limit: try again later", e.Tenant, human.Plural(e.Limit, "tenant"))}
	}
	if e, ok := errors.AsType[*reports.NoCollectorError](err); ok {
		return &refusal{status: http.StatusServiceUnavailable, text: e.Error(), retry: true}
	}
	if errors.Is(err, bucket.ErrUnstable) {
		return &refusal{status: http.StatusServiceUnavailable, text: err.Error(), retry: true}
	}
	if errors.Is(err, bucket.ErrClosed) || errors.Is(err, tiered.ErrClosed) {
		return &refusal{status: http.StatusServiceUnavailable, text: "the collector is closing: try another, or again later", retry: true}
	}
	return nil
}

// ended returns the answer to a request whose time ran out, or nil.
func ended(ctx context.Context, err error) *refusal {
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return &refusal{status: statusClientClosed, text: "the client left"}
	case errors.Is(err, context.DeadlineExceeded):
		return &refusal{status: http.StatusGatewayTimeout, text: "the answer took too long: ask for less, or try again later"}
	}
	return nil
}

// keysOf returns the answer to a request for which the store failed, or nil. The
// answer tells the client the keys and nothing else.
func keysOf(err error) *refusal {
	var what string
	var keys []string
	if e, ok := errors.AsType[*bucket.MissingError](err); ok {
		what, keys = "the store has lost", e.Keys()
	} else if e, ok := errors.AsType[*tiered.CorruptError](err); ok {
		what, keys = "the store holds damaged bytes under", []string{e.Key}
	} else if e, ok := errors.AsType[*tiered.TierError](err); ok {
		what, keys = "the store failed to read", e.Keys
	} else {
		return nil
	}
	const most = 5
	more := ""
	if n := len(keys) - most; n > 0 {
		keys, more = keys[:most], fmt.Sprintf(" and %d more", n)
	}
	return &refusal{status: http.StatusInternalServerError,
		text: fmt.Sprintf("%s %s%s: the collector's log says more", what, strings.Join(keys, ", "), more)}
}

// fail answers why a request failed, and logs a failure that is no fault of the
// client.
func (h *Handler) fail(w *recorder, r *http.Request, err error) {
	f := refusalOf(r.Context(), err)
	w.why = err.Error()
	level := slog.LevelDebug
	if f.status >= 500 && !f.retry {
		level = slog.LevelWarn
	}
	h.opts.Logger.Log(r.Context(), level, "request failed", "method", r.Method, "path", r.URL.Path,
		"status", f.status, "err", err)
	if w.status != 0 {
		w.broken = true
		panic(http.ErrAbortHandler) // the answer has begun, so that only an abort can tell the client
	}
	f.setHeaders(w.Header())
	http.Error(w, human.Line(f.text), f.status)
}

// setHeaders sets the headers that tell a client what it may do.
func (f *refusal) setHeaders(head http.Header) {
	if f.retry {
		wait := cmp.Or(f.after, retryAfter)
		head.Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	}
	if f.challenge != "" {
		head.Set("WWW-Authenticate", f.challenge)
	}
}

// recover answers a request whose answerer panicked.
func (h *Handler) recover(w *recorder, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler {
		panic(cause)
	}
	h.metrics.panics.Inc()
	w.why = fmt.Sprint("panic: ", cause)
	h.opts.Logger.ErrorContext(r.Context(), "panic in a handler", "method", r.Method, "path", r.URL.Path,
		"panic", cause, "stack", string(debug.Stack()))
	if w.status != 0 {
		w.broken = true
		panic(http.ErrAbortHandler)
	}
	http.Error(w, "the request failed here, through no fault of the client: the collector's log says why", http.StatusInternalServerError)
}
