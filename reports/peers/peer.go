package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/internal/tracing"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// spans are the requests to collectors.
const spans = tracing.Scope("reports")

// collector is one collector. It implements reports.Peer.
type collector struct {
	base  string // scheme, host and port
	name  string // host and port
	asker *asker
	scope atomic.Int64 // until when it is taken for one of Scope's, in Unix nanoseconds
	ours  atomic.Int64 // until when it is known to be none of Scope's, likewise
}

// asker makes the requests to collectors.
type asker struct {
	client       *http.Client
	timeout      time.Duration
	limit        int64 // bytes of an answer
	tenantHeader string
	token        string
	propagator   propagation.TextMapPropagator
	metrics      *metrics
	now          func() time.Time
}

// scopeFor is how long a collector that does not tell what it holds is taken for
// one of Scope's. After that it is asked again.
const scopeFor = time.Minute

// oursFor is how long a collector that has told what it holds is not taken for one of
// Scope's because of a 404 alone, which may come from a proxy in front of it.
const oursFor = 10 * time.Minute

// Name returns the host and port.
func (p *collector) Name() string { return p.name }

// Held asks the collector what it holds of a tenant with from ≤ instant < to. The
// error is reports.ErrNoHoldings for a collector that answers 404. One that has told
// what it holds lately must then answer with its live window, as Scope's do.
func (p *collector) Held(ctx context.Context, tenant string, from, to time.Time) (h reports.Holdings, err error) {
	if p.asker.now().UnixNano() < p.scope.Load() {
		return h, reports.ErrNoHoldings
	}
	path := "/api/held?" + url.Values{"start": {human.Stamp(from)}, "end": {human.Stamp(to)}}.Encode()
	err = p.get(ctx, "held", tenant, path, func(answer *http.Response) (err error) {
		h, err = DecodeHoldings(answer.Header, answer.Body, p.asker.limit)
		return err
	})
	for _, v := range h.Sealed {
		if unread, ok := errors.AsType[*bucket.HeldError](v.Err); ok {
			unread.Tenant = tenant
		}
	}
	now := p.asker.now()
	refused, isStatus := errors.AsType[*statusError](err)
	switch {
	case err == nil:
		p.ours.Store(now.Add(oursFor).UnixNano())
	case isStatus && refused.status == http.StatusNotFound && (now.UnixNano() >= p.ours.Load() || p.answersLive(ctx, tenant)):
		p.ours.Store(0)
		p.scope.Store(now.Add(scopeFor).UnixNano())
		err = reports.ErrNoHoldings
	}
	return h, err
}

// answersLive reports whether the collector answers with its live window.
func (p *collector) answersLive(ctx context.Context, tenant string) bool {
	_, err := p.Live(ctx, tenant)
	return err == nil
}

// Live asks the collector for its live window, as Scope's query services do.
func (p *collector) Live(ctx context.Context, tenant string) (a reports.Answer, err error) {
	err = p.get(ctx, "report", tenant, "/api/report", func(answer *http.Response) error {
		data, err := wire.ReadBody(answer.Body, false, p.asker.limit)
		if err != nil {
			return err
		}
		a.Missing = missingIn(answer.Header)
		a.Report, err = wire.DecodeMsgpack(data)
		return err
	})
	if err != nil {
		return reports.Answer{}, err
	}
	a.Report, err = report.Upgrade(a.Report)
	return a, err
}

// get requests a path and passes the answer to read, all within the timeout.
func (p *collector) get(ctx context.Context, method, tenant, path string, read func(*http.Response) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, p.asker.timeout)
	defer cancel()
	ctx, asked := spans.Client(ctx, "ask")
	asked.Text("server.address", p.name)
	asked.Text("url.path", urlPath(path))
	defer func() { asked.End(err) }()
	status, begun := "error", p.asker.now()
	defer func() { p.asker.metrics.observe(method, status, p.asker.now().Sub(begun)) }()
	request, err := p.request(ctx, tenant, path)
	if err != nil {
		return err
	}
	answer, err := p.asker.client.Do(request)
	if err != nil {
		return p.explain(ctx, err)
	}
	defer answer.Body.Close()
	status = strconv.Itoa(answer.StatusCode)
	if answer.StatusCode != http.StatusOK {
		return &statusError{p.name, answer.StatusCode, firstLine(answer.Body)}
	}
	if err := read(answer); err != nil {
		status = "error"
		return p.explain(ctx, err)
	}
	return nil
}

// urlPath returns a path without its query.
func urlPath(path string) string {
	path, _, _ = strings.Cut(path, "?")
	return path
}

// request returns a request as Scope's query services make it.
func (p *collector) request(ctx context.Context, tenant, path string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/msgpack")
	request.Header.Set("Accept-Encoding", "identity")
	if p.asker.tenantHeader != "" {
		request.Header.Set(p.asker.tenantHeader, tenant)
	}
	if p.asker.token != "" {
		request.Header.Set("Authorization", "Bearer "+p.asker.token)
	}
	p.asker.propagator.Inject(ctx, propagation.HeaderCarrier(request.Header))
	return request, nil
}

// explain adds the name of the collector to an error, and the timeout if that was
// the cause.
func (p *collector) explain(ctx context.Context, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the URL, which holds the question
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("collector %s did not answer within %v: %w", p.name, p.asker.timeout, err)
	}
	return fmt.Errorf("collector %s: %w", p.name, err)
}

// statusError is an answer with a status other than 200.
type statusError struct {
	name   string
	status int
	text   string // the first line of the answer
}

func (e *statusError) Error() string {
	return fmt.Sprintf("collector %s: %d %s: %s", e.name, e.status, http.StatusText(e.status), e.text)
}

// firstLine returns the first line of an answer, as far as it can be read.
func firstLine(body io.Reader) string {
	start, _ := io.ReadAll(io.LimitReader(body, 512)) // a part is enough
	text, _, _ := strings.Cut(string(start), "\n")
	return human.Line(text)
}
