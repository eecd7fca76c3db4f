package reports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// statusClientClosed is what Scope, after nginx, calls the status of a request
// whose client left.
const statusClientClosed = 499

// retryAfter is a tick, in which some of what waits gets stored.
const retryAfter = 3 * time.Second

// refusal is an answer other than 200: a status, and a line that says why.
type refusal struct {
	status int
	text   string
	retry  bool // the same may work a little later

	after     time.Duration // how much later; 0 for a tick
	challenge string        // how to bring a token
	unnamed   bool          // no tenant was named, where a header would name it
}

func (f *refusal) Error() string { return f.text }

func refuse(status int, format string, args ...any) error {
	return &refusal{status: status, text: fmt.Sprintf(format, args...)}
}

// refusalOf says how to answer a request, whose context is ctx, that failed
// with err.
func refusalOf(ctx context.Context, err error) *refusal {
	return cmp.Or(ownRefusal(err), clientFault(err), busy(err), ended(ctx, err), keysOf(err),
		&refusal{status: http.StatusInternalServerError,
			text: "something failed here, not in the request: the collector's log says what"})
}

func ownRefusal(err error) *refusal {
	f, _ := errors.AsType[*refusal](err)
	return f
}

// clientFault knows what is wrong with what the client sent.
func clientFault(err error) *refusal {
	for _, fault := range []error{asError[*InvalidError](err), asError[*index.TenantError](err),
		asError[*bucket.RangeError](err), asError[*bucket.TooManyError](err), asError[*TimeError](err)} {
		if fault != nil {
			return &refusal{status: http.StatusBadRequest, text: fault.Error()}
		}
	}
	return nil
}

// asError returns the error of type E in err's tree, or nil.
func asError[E error](err error) error {
	if e, ok := errors.AsType[E](err); ok {
		return e
	}
	return nil
}

// busy knows what a later try may not meet, and a report too large for any.
func busy(err error) *refusal {
	if e, ok := errors.AsType[*bucket.FullError](err); ok {
		switch {
		case e.Size > e.Limit:
			return &refusal{status: http.StatusRequestEntityTooLarge, text: e.Error()} // now and ever
		case e.OfTenant:
			return &refusal{status: http.StatusTooManyRequests, text: e.Error(), retry: true}
		}
		return &refusal{status: http.StatusServiceUnavailable, text: e.Error(), retry: true}
	}
	if e, ok := errors.AsType[*NoCollectorError](err); ok {
		return &refusal{status: http.StatusServiceUnavailable, text: e.Error(), retry: true}
	}
	if errors.Is(err, bucket.ErrUnsettled) {
		return &refusal{status: http.StatusServiceUnavailable, text: err.Error(), retry: true}
	}
	if errors.Is(err, bucket.ErrClosed) || errors.Is(err, tiered.ErrClosed) {
		return &refusal{status: http.StatusServiceUnavailable, text: "the collector is closing: try another, or again later", retry: true}
	}
	return nil
}

// ended knows the ways in which time runs out.
func ended(ctx context.Context, err error) *refusal {
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return &refusal{status: statusClientClosed, text: "the client left"}
	case errors.Is(err, context.DeadlineExceeded):
		return &refusal{status: http.StatusGatewayTimeout, text: "the answer took too long: ask for less, or try again later"}
	}
	return nil
}

// keysOf knows the store's errors, of which the client is told no more than
// the keys.
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

// fail answers with why a request failed, and logs what is no fault of the
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
		panic(http.ErrAbortHandler) // too late to say so otherwise
	}
	f.setHeaders(w.Header())
	http.Error(w, line(f.text), f.status)
}

// setHeaders says what a client may do about a refusal.
func (f *refusal) setHeaders(head http.Header) {
	if f.retry {
		wait := cmp.Or(f.after, retryAfter)
		head.Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	}
	if f.challenge != "" {
		head.Set("WWW-Authenticate", f.challenge)
	}
}

// line makes one line of a text, which may hold what a client sent: of at most
// 500 bytes, its end included.
func line(text string) string {
	const most = 500 - len("…\n")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return flat(text)
}

// flat replaces the control characters of a text by spaces.
func flat(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' {
			return ' '
		}
		return c
	}, text)
}

// recover answers for an answerer that panicked.
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
	http.Error(w, "something broke here, not in the request: the collector's log says what", http.StatusInternalServerError)
}
