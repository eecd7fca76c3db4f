package faulttest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/timeblob/timeblob/internal/pause"
)

// Transport is an http.RoundTripper that does what faults say, between a client
// and its server.
type Transport struct {
	*Faults
	base http.RoundTripper

	under sync.Mutex // guards what follows
	busy  int
	peak  int
}

// NewTransport returns a transport that does what base does until a fault is
// injected. The seed makes Chance repeatable.
func NewTransport(base http.RoundTripper, seed uint64) *Transport {
	return &Transport{Faults: newFaults(seed), base: base}
}

// Busy returns the number of requests that are under way. A request is under
// way until its answer's body is closed.
func (t *Transport) Busy() int {
	t.under.Lock()
	defer t.under.Unlock()
	return t.busy
}

// Peak returns the greatest number of requests that were under way at a time.
func (t *Transport) Peak() int {
	t.under.Lock()
	defer t.under.Unlock()
	return t.peak
}

func (t *Transport) count(n int) {
	t.under.Lock()
	defer t.under.Unlock()
	t.busy += n
	t.peak = max(t.peak, t.busy)
}

// CloseIdleConnections closes the idle connections of a base that can do so.
func (t *Transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// RoundTrip sends the request, with the fault that chooses it, if one does.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	t.count(1)
	response, err := t.roundTrip(request)
	if err != nil {
		t.count(-1)
		return nil, err
	}
	response.Body = &closing{response.Body, sync.OnceFunc(func() { t.count(-1) })}
	return response, nil
}

func (t *Transport) roundTrip(request *http.Request) (*http.Response, error) {
	rule := t.choose(Call{Op: Request, Request: request}, nil)
	if rule == nil || rule.fault.Pass {
		return t.base.RoundTrip(request)
	}
	if err := rule.before(request.Context()); err != nil {
		closeBody(request)
		return nil, err
	}
	if rule.fault.Status != 0 {
		closeBody(request)
		return rule.fault.answer(request), nil
	}
	request, err := rule.fault.send(request)
	if err != nil {
		return nil, err
	}
	response, err := t.base.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	return rule.after(request, response)
}

// before does what happens before the request is sent.
func (r *Rule) before(ctx context.Context) error {
	if err := pause.For(ctx, r.fault.Delay); err != nil {
		return err
	}
	if r.fault.Applied {
		return nil
	}
	if r.fault.Hang {
		if err := r.hang(ctx); err != nil {
			return err
		}
	}
	return r.fault.cause(ErrReset)
}

// after does what happens to the server's answer.
func (r *Rule) after(request *http.Request, response *http.Response) (*http.Response, error) {
	f := &r.fault
	if f.Applied {
		if f.Hang {
			if err := r.hang(request.Context()); err != nil {
				_ = response.Body.Close()
				return nil, err
			}
		}
		if err := f.cause(ErrReset); err != nil {
			_, _ = io.Copy(io.Discard, response.Body) // so that the server is done
			_ = response.Body.Close()
			return nil, err
		}
	}
	if f.Corrupt || f.Truncate || f.Stall || f.Pace > 0 {
		response.Body = &body{ReadCloser: response.Body, fault: f, request: request, middle: max(0, response.ContentLength/2)}
	}
	return response, nil
}

func (f *Fault) answer(request *http.Request) *http.Response {
	header := f.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{
		Status:     fmt.Sprintf("%d %s", f.Status, http.StatusText(f.Status)),
		StatusCode: f.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(strings.NewReader(f.Body)), ContentLength: int64(len(f.Body)),
		Request: request,
	}
}

// send returns the request to send: with CorruptSent one whose body differs in
// one bit.
func (f *Fault) send(request *http.Request) (*http.Request, error) {
	if !f.CorruptSent || request.Body == nil {
		return request, nil
	}
	defer closeBody(request)
	sent, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	if len(sent) > 0 {
		sent[len(sent)/2] ^= 1
	}
	changed := request.Clone(request.Context())
	changed.Body = io.NopCloser(bytes.NewReader(sent))
	return changed, nil
}

// closeBody closes a request's body, as every RoundTripper must.
func closeBody(request *http.Request) {
	if request.Body != nil {
		_ = request.Body.Close()
	}
}
