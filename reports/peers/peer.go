package peers

import (
	"context"
	"crypto/rand"
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
	base   string // scheme, host and port
	name   string // host and port
	asker  *asker
	mute   atomic.Int64 // until when it is not asked what it holds, in Unix nanoseconds
	hidden atomic.Bool  // while it is not asked: it is none of Scope's
}

// asker makes the requests to collectors.
type asker struct {
	client       *http.Client
	timeout      time.Duration
	limit        int64 // bytes of an answer
	reading      budget
	tenantHeader string
	token        string
	propagator   propagation.TextMapPropagator
	metrics      *metrics
	now          func() time.Time
}

// muteFor is how long a collector that does not tell what it holds is not asked for it.
const muteFor = time.Minute

// Name returns the host and port.
func (p *collector) Name() string { return p.name }

// Held asks the collector what it holds of a tenant with from ≤ instant < to. The
// error is reports.ErrNoHoldings for a collector of Scope's, which answers 404 and has
// a live window. It is reports.ErrHidden if the live window is from a collector of ours: the
// 404 then comes from a proxy in front of it.
func (p *collector) Held(ctx context.Context, tenant string, from, to time.Time) (h reports.Holdings, err error) {
	if p.asker.now().UnixNano() < p.mute.Load() {
		return h, p.noHoldings()
	}
	q := url.Values{"start": {human.Stamp(from)}, "end": {human.Stamp(to)}}
	_, err = p.get(ctx, "held", tenant, "/api/held?"+q.Encode(), rangeOf(from, to), func(answer *http.Response, body io.Reader) (err error) {
		h, err = DecodeHoldings(answer.Header, body, p.asker.limit)
		return err
	})
	for _, v := range h.Sealed {
		if unread, ok := errors.AsType[*bucket.HeldError](v.Err); ok {
			unread.Tenant = tenant
		}
	}
	refused, isStatus := errors.AsType[*statusError](err)
	if !isStatus || refused.status != http.StatusNotFound {
		return h, err
	}
	_, ours, liveErr := p.live(ctx, tenant)
	if liveErr != nil {
		return h, err
	}
	p.hidden.Store(ours)
	p.mute.Store(p.asker.now().Add(muteFor).UnixNano())
	return h, p.noHoldings()
}

// noHoldings returns the error of a collector that is not asked what it holds.
func (p *collector) noHoldings() error {
	if p.hidden.Load() {
		return reports.ErrHidden
	}
	return reports.ErrNoHoldings
}

// Live asks the collector for its live window, as Scope's query services do.
func (p *collector) Live(ctx context.Context, tenant string) (reports.Answer, error) {
	a, _, err := p.live(ctx, tenant)
	return a, err
}

// live returns the live window, and whether the collector is one of ours.
func (p *collector) live(ctx context.Context, tenant string) (a reports.Answer, ours bool, err error) {
	ours, err = p.get(ctx, "report", tenant, "/api/report", aboutNow, func(answer *http.Response, body io.Reader) error {
		data, err := readAll(body, p.asker.limit)
		if err != nil {
			return err
		}
		a.Missing = missingIn(answer.Header)
		a.Report, err = wire.DecodeMsgpack(data)
		return err
	})
	if err != nil {
		return reports.Answer{}, false, err
	}
	a.Report, err = report.Upgrade(a.Report)
	return a, ours, err
}

// get requests a path and passes the answer to read, all within the timeout. It reports
// whether the answer says which question it answers, as our collectors' answers do.
func (p *collector) get(ctx context.Context, method, tenant, path, about string, read func(*http.Response, io.Reader) error) (ours bool, err error) {
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
		return false, err
	}
	answer, err := p.asker.client.Do(request)
	if err != nil {
		return false, p.explain(ctx, err)
	}
	defer answer.Body.Close()
	status = strconv.Itoa(answer.StatusCode)
	if answer.StatusCode != http.StatusOK {
		return false, &statusError{p.name, answer.StatusCode, firstLine(answer.Body)}
	}
	body := &metered{src: answer.Body, budget: &p.asker.reading}
	defer body.release()
	if ours, err = answersTo(answer, questionOf(request.Header.Get(headerQuestion), about, tenant)); err == nil {
		err = read(answer, body)
	}
	if err != nil {
		status = "error"
		return false, p.explain(ctx, err)
	}
	return ours, nil
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
	request.Header.Set(headerQuestion, rand.Text())
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
