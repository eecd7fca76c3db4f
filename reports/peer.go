package reports

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

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// peer is one collector that a Querier asks.
type peer struct {
	base  string // scheme, host and port
	name  string // host and port
	asker *asker
	plain atomic.Int64 // until when it is known to be one of Scope's, Unix nanoseconds
}

// asker is how collectors are asked.
type asker struct {
	client       *http.Client
	timeout      time.Duration
	limit        int64 // bytes of an answer
	tenantHeader string
	token        string
	propagator   propagation.TextMapPropagator
	metrics      *peerMetrics
	now          func() time.Time
}

// plainFor is how long a collector that does not tell what it holds is taken
// for one of Scope's, until it is tried again.
const plainFor = time.Minute

// errPlain says that a collector does not tell what it holds, as Scope's do not.
var errPlain = errors.New("the collector does not tell what it holds: it is one of Scope's")

// held asks a collector what it holds of a tenant with from ≤ instant < to.
func (p *peer) held(ctx context.Context, tenant string, from, to time.Time) (h holdings, err error) {
	if p.asker.now().UnixNano() < p.plain.Load() {
		return h, errPlain
	}
	path := "/api/held?" + url.Values{"start": {stamp(from)}, "end": {stamp(to)}}.Encode()
	err = p.get(ctx, "held", tenant, path, func(answer *http.Response) (err error) {
		h, err = decodeHoldings(answer.Header, answer.Body, p.asker.limit)
		return err
	})
	var refused *statusError
	if errors.As(err, &refused) && refused.status == http.StatusNotFound {
		p.plain.Store(p.asker.now().Add(plainFor).UnixNano())
		err = errPlain
	}
	return h, err
}

// live asks a collector for its live window, as Scope's query services do.
func (p *peer) live(ctx context.Context, tenant string) (r *report.Report, err error) {
	err = p.get(ctx, "report", tenant, "/api/report", func(answer *http.Response) error {
		data, err := wire.ReadBody(answer.Body, false, p.asker.limit)
		if err != nil {
			return err
		}
		r, err = wire.DecodeMsgpack(data)
		return err
	})
	if err != nil {
		return nil, err
	}
	return report.Upgrade(r)
}

// get asks for a path and has read take the answer, all within the timeout.
func (p *peer) get(ctx context.Context, method, tenant, path string, read func(*http.Response) error) (err error) {
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

// urlPath is a path without its query.
func urlPath(path string) string {
	path, _, _ = strings.Cut(path, "?")
	return path
}

// request is one as Scope's query services make it.
func (p *peer) request(ctx context.Context, tenant, path string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", mediaMsgpack)
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

// explain names the collector in an error, and what the timeout was.
func (p *peer) explain(ctx context.Context, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the URL, which holds the question
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("collector %s did not answer within %v: %w", p.name, p.asker.timeout, err)
	}
	return fmt.Errorf("collector %s: %w", p.name, err)
}

// skewed is the error of a collector whose clock is so far from this process's
// that what it holds of now is not in what is now here.
func (p *peer) skewed(clock time.Time) error {
	return fmt.Errorf("collector %s: its clock is at %s, further than a window from the one here: set the clocks", p.name, stamp(clock))
}

// statusError is an answer other than 200.
type statusError struct {
	name   string
	status int
	text   string // its first line
}

func (e *statusError) Error() string {
	return fmt.Sprintf("collector %s: %d %s: %s", e.name, e.status, http.StatusText(e.status), e.text)
}

// firstLine returns the first line of an answer, or what of it is readable.
func firstLine(body io.Reader) string {
	start, _ := io.ReadAll(io.LimitReader(body, 512)) // a part will do
	text, _, _ := strings.Cut(string(start), "\n")
	return line(text)
}
