package remote

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/guard"
	"github.com/timeblob/timeblob/tiered"
)

// ClientOptions tune a Client; nil or a zero field means the default.
type ClientOptions struct {
	// HTTP makes the requests. Default a client on http.DefaultTransport that
	// follows no redirects.
	HTTP *http.Client
	// Timeout bounds a call of Held, beside its context, so that a collector
	// that hangs delays a question by no more. Default 5 s. Questions end
	// with their context alone.
	Timeout time.Duration
	// MaxBytes bounds each answer in bytes; of Steps and Values it bounds each
	// value with what is missing before it. Default 256 MiB.
	MaxBytes int64
}

// Client asks a Handler. It is a [bucket.Source] and a [bucket.TenantSource], and
// it answers questions if the handler does. It is safe for any number of goroutines.
//
// The errors are the context's, an *[Error] that the handler sent, a
// *[FormatError], a *[TooLargeError], or an error of the http.Client. They name the server.
type Client[T any] struct {
	base  *url.URL
	codec tiered.Codec[T]
	opts  ClientOptions
}

// NewClient returns a client of the handler at a URL, which is the prefix of the
// handler's requests, such as "http://10.0.0.7:8080/timeblob". It connects when it
// is asked.
func NewClient[T any](base string, codec tiered.Codec[T], opts *ClientOptions) (*Client[T], error) {
	o := ClientOptions{}
	if opts != nil {
		o = *opts
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("remote: the URL must begin with http:// or https:// and a host")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("remote: the URL must not have a query or a fragment")
	}
	if codec == nil {
		return nil, errors.New("remote: the client needs a codec")
	}
	if o.Timeout < 0 || o.MaxBytes < 0 {
		return nil, errors.New("remote: Timeout and MaxBytes must not be negative")
	}
	o.Timeout, o.MaxBytes = cmp.Or(o.Timeout, 5*time.Second), cmp.Or(o.MaxBytes, 256<<20)
	if o.HTTP == nil {
		o.HTTP = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return &Client[T]{base: u, codec: codec, opts: o}, nil
}

// String returns the client's URL without a password. Answers name a source that
// is missing by it.
func (c *Client[T]) String() string { return c.base.Redacted() }

// Held implements bucket.Source.
func (c *Client[T]) Held(ctx context.Context, tenant string, from, to time.Time) (held bucket.Held[T], err error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	err = c.ask(ctx, "held", newQuestion([]string{tenant}, from, to, nil), func(body *frames) error {
		return each(body, c.String(), func(kind byte, f *fields) (_ bool, err error) {
			switch kind {
			case kindHeld:
				held.Next, held.Since = f.int(), f.int()
				held.Version = string(f.rest)
				return true, f.err
			case kindSealed:
				v := bucket.HeldValue[T]{}
				v.Entry, v.Own, v.Untried = f.entry()
				v.Value, err = c.decode(f)
				held.Sealed = append(held.Sealed, c.readAs(v, tenant, err))
				return true, f.err
			case kindUnread:
				v := bucket.HeldValue[T]{}
				v.Entry, v.Own, v.Untried = f.entry()
				v.Err = &bucket.HeldError{Tenant: tenant, Time: time.Unix(0, v.Entry.Time), Err: f.unread(c.String())}
				held.Sealed = append(held.Sealed, v)
				return true, f.err
			case kindOpen:
				if held.Open, err = c.decode(f); err != nil {
					held.Sealed = append(held.Sealed, c.readAs(bucket.HeldValue[T]{Entry: index.Entry{Time: held.Next}}, tenant, err))
				}
				held.IsOpen = err == nil
				return true, f.err
			}
			return false, nil
		})
	})
	if err == nil && held.Version == "" {
		err = &FormatError{c.String(), errors.New("it does not say what version is held")}
	}
	if err != nil {
		return bucket.Held[T]{}, err
	}
	return held, nil
}

// readAs returns a value that is held, with the error of its decoding.
func (c *Client[T]) readAs(v bucket.HeldValue[T], tenant string, cause error) bucket.HeldValue[T] {
	if cause != nil {
		v.Err = &bucket.HeldError{Tenant: tenant, Time: time.Unix(0, v.Entry.Time), Err: fmt.Errorf("%v: %w", c, cause)}
	}
	return v
}

// Range returns the handler's answer to a Range question.
func (c *Client[T]) Range(ctx context.Context, tenant string, from, to time.Time, opts *bucket.RangeOptions) (a bucket.Answer[T], err error) {
	return c.RangeMany(ctx, []string{tenant}, from, to, opts)
}

// RangeMany returns the handler's answer to a RangeMany question. The ids stand in
// the request's URL, which an http.Server bounds by its MaxHeaderBytes: the default
// of 1 MiB is room for 14 000 ids of 64 letters.
func (c *Client[T]) RangeMany(ctx context.Context, tenants []string, from, to time.Time, opts *bucket.RangeOptions) (a bucket.Answer[T], err error) {
	if len(tenants) == 0 {
		return a, nil
	}
	q, answers := newQuestion(tenants, from, to, opts), 0
	err = c.ask(ctx, "range", q, func(body *frames) error {
		return c.eachStep(body, func(s bucket.Step[T]) bool {
			a = s.Answer
			a.From, a.To = s.From, s.To
			answers++
			return true
		})
	})
	if err == nil && answers != 1 {
		err = &FormatError{c.String(), fmt.Errorf("it holds %d answers in place of one", answers)}
	}
	if err != nil {
		return bucket.Answer[T]{}, err
	}
	return a, nil
}

// Steps yields the handler's answers to a Steps question as they arrive. An error ends the sequence.
func (c *Client[T]) Steps(ctx context.Context, tenant string, from, to time.Time, step time.Duration, opts *bucket.RangeOptions) iter.Seq2[bucket.Step[T], error] {
	q := newQuestion([]string{tenant}, from, to, opts)
	q.step = step
	return func(yield func(bucket.Step[T], error) bool) {
		err := c.ask(ctx, "steps", q, func(body *frames) error {
			return c.eachStep(body, func(s bucket.Step[T]) bool {
				body.limit = c.opts.MaxBytes
				return yield(s, nil)
			})
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(bucket.Step[T]{}, err)
		}
	}
}

// Values yields the handler's answers to a Values question as they arrive. An error ends the
// sequence. With RangeOptions.Partial a value that the handler cannot encode, or that the
// client cannot decode, is yielded with its Err.
func (c *Client[T]) Values(ctx context.Context, tenant string, from, to time.Time, opts *bucket.RangeOptions) iter.Seq2[bucket.Value[T], error] {
	return func(yield func(bucket.Value[T], error) bool) {
		err := c.ask(ctx, "values", newQuestion([]string{tenant}, from, to, opts), func(body *frames) error {
			return each(body, c.String(), func(kind byte, f *fields) (bool, error) {
				v, known, err := c.value(kind, f, opts)
				if known && err == nil && !yield(v, nil) {
					err = errStop
				}
				body.limit = c.opts.MaxBytes
				return known, err
			})
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(bucket.Value[T]{}, err)
		}
	}
}

// Has returns the handler's answer to a Has question.
func (c *Client[T]) Has(ctx context.Context, tenant string, from, to time.Time) (has bool, err error) {
	answers := 0
	err = c.ask(ctx, "has", newQuestion([]string{tenant}, from, to, nil), func(body *frames) error {
		return each(body, c.String(), func(kind byte, f *fields) (bool, error) {
			if kind != kindPresence {
				return false, nil
			}
			has = f.bool()
			answers++
			return true, f.err
		})
	})
	if err == nil && answers != 1 {
		err = &FormatError{c.String(), fmt.Errorf("it holds %d answers in place of one", answers)}
	}
	return has && err == nil, err
}

// Tenants returns the ids of the tenants that the handler's Questions lists. With
// an error they may be some of them.
func (c *Client[T]) Tenants(ctx context.Context) ([]string, error) { return c.tenants(ctx, "tenants") }

// HeldTenants implements bucket.TenantSource.
func (c *Client[T]) HeldTenants(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	return c.tenants(ctx, "held-tenants")
}

func (c *Client[T]) tenants(ctx context.Context, what string) (ids []string, err error) {
	err = c.ask(ctx, what, question{}, func(body *frames) error {
		return each(body, c.String(), func(kind byte, f *fields) (bool, error) {
			if kind == kindTenant {
				ids = append(ids, string(f.rest))
			}
			return kind == kindTenant, nil
		})
	})
	return ids, err
}

// value reads a frame of an answer to Values. A value that does not decode is missing from
// a partial answer.
func (c *Client[T]) value(kind byte, f *fields, opts *bucket.RangeOptions) (v bucket.Value[T], known bool, err error) {
	switch kind {
	case kindValue:
		v = bucket.Value[T]{Time: f.time(), Tenant: f.text(), Key: f.text()}
		v.Value, err = c.decode(f)
		if opts != nil && opts.Partial && f.err == nil && err != nil {
			var none T
			v.Value, v.Err, err = none, fmt.Errorf("%v: %w", c, err), nil
		}
	case kindMissing:
		m := f.missing(c.String())
		v, err = bucket.Value[T]{Tenant: m.Tenant, Time: m.Time, Key: m.Key, Err: m.Err}, f.err
	default:
		return v, false, nil
	}
	return v, true, err
}

// eachStep passes the answers of a body to take, until that returns false.
func (c *Client[T]) eachStep(body *frames, take func(bucket.Step[T]) bool) error {
	var missing []bucket.Missing
	return each(body, c.String(), func(kind byte, f *fields) (_ bool, err error) {
		switch kind {
		case kindMissing:
			missing = append(missing, f.missing(c.String()))
			return true, f.err
		case kindAnswer:
			s := bucket.Step[T]{From: f.time(), To: f.time()}
			s.Provisional, s.Entries = f.time(), int(f.int())
			s.Missing, missing = missing, nil
			if s.Entries != 0 {
				s.Value, err = c.decode(f)
			}
			if err = cmp.Or(err, f.err); err == nil && !take(s) {
				err = errStop
			}
			return true, err
		}
		return false, nil
	})
}

// errStop says that the caller wants no more.
var errStop = errors.New("stop")

// each passes the frames of a body to take, until the last one. Take returns
// false for a kind that does not belong there.
func each(body *frames, server string, take func(kind byte, f *fields) (known bool, err error)) error {
	for {
		kind, f, err := body.next()
		switch {
		case err != nil:
			return err
		case kind == kindEnd:
			return nil
		case kind == kindFailed:
			return f.failure(server)
		}
		known, err := take(kind, f)
		if err == nil && !known {
			err = fmt.Errorf("it has a frame of kind %q, which does not belong there", kind)
		}
		if err != nil {
			return err
		}
	}
}

func (c *Client[T]) decode(f *fields) (v T, err error) {
	if f.err != nil {
		return v, f.err
	}
	defer guard.Recover("decode", &err)
	return c.codec.Decode(f.rest)
}

func newQuestion(tenants []string, from, to time.Time, opts *bucket.RangeOptions) question {
	q := question{tenants: tenants, from: from, to: to}
	if opts != nil {
		q.opts = *opts
	}
	return q
}

// query returns the query of the request for a question.
func (q *question) query() url.Values {
	query := url.Values{"v": {strconv.Itoa(version)}}
	if len(q.tenants) == 0 {
		return query
	}
	query["tenant"] = q.tenants
	query.Set("from", q.from.UTC().Format(time.RFC3339Nano))
	query.Set("to", q.to.UTC().Format(time.RFC3339Nano))
	if q.step != 0 {
		query.Set("step", q.step.String())
	}
	if q.opts.Partial {
		query.Set("partial", "true")
	}
	if q.opts.Round {
		query.Set("round", "true")
	}
	if q.opts.MaxBytes != 0 {
		query.Set("max", strconv.FormatInt(q.opts.MaxBytes, 10))
	}
	return query
}

var errOtherQuestion = errors.New("it answers another question: does a proxy in front of the server keep answers?")

// ask sends a request and passes the frames of the answer to read.
func (c *Client[T]) ask(ctx context.Context, what string, q question, read func(*frames) error) error {
	u := c.base.JoinPath(what)
	u.RawQuery = q.query().Encode()
	ctx, cancel := context.WithCancel(ctx) // ends an answer that is not read to its end
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fmt.Errorf("%v: %w", c, err)
	}
	r.Header.Set(questionHeader, rand.Text())
	response, err := c.opts.HTTP.Do(r)
	if err != nil {
		return c.explain(ctx, &transportError{err})
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return c.refusal(response)
	}
	if said := response.Header.Get(questionHeader); said != "" && said != r.Header.Get(questionHeader) {
		return &FormatError{c.String(), errOtherQuestion}
	}
	body := &frames{r: &source{response.Body}, limit: c.opts.MaxBytes}
	if err := body.begin(); err != nil {
		return c.explain(ctx, err)
	}
	return c.explain(ctx, read(body))
}

// refusal returns the error of an answer with another status than 200.
func (c *Client[T]) refusal(response *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(response.Body, 2000))
	reason, detail := Reason(response.Header.Get(reasonHeader)), response.Header.Get(detailHeader)
	e := newError(c.String(), reason, detail, strings.TrimSpace(string(text)))
	if e.Reason == "" {
		e.Reason, e.Message = Failed, fmt.Sprintf("answers %s: %.200q", response.Status, e.Message)
	}
	return e
}

// explain returns the error of a request with the name of the server.
func (c *Client[T]) explain(ctx context.Context, err error) error {
	var (
		said     *Error
		transfer *transportError
	)
	switch {
	case err == nil, errors.As(err, &said), errors.Is(err, errStop):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%v: %w", c, ctx.Err())
	case errors.Is(err, errLimit):
		return &TooLargeError{c.String(), c.opts.MaxBytes}
	case errors.As(err, &transfer):
		return fmt.Errorf("%v: %w", c, transfer.err)
	}
	return &FormatError{c.String(), err}
}

// transportError is an error of the connection.
type transportError struct{ err error }

func (e *transportError) Error() string { return e.err.Error() }

// source marks the errors of the connection in what is read from it.
type source struct{ r io.Reader }

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = &transportError{err}
	}
	return n, err
}
