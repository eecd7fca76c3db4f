package httpfault

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// errReset is what a client sees of a connection that its peer reset.
var errReset = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}

// roundTrip is one request with the fault. It closes the request's body, as
// every RoundTripper must.
func (f Fault) roundTrip(base http.RoundTripper, request *http.Request) (*http.Response, error) {
	if err := f.wait(request); err != nil {
		closeBody(request)
		return nil, err
	}
	if f.Status != 0 {
		closeBody(request)
		return f.answer(request), nil
	}
	if f.Spoil {
		var err error
		if request, err = spoil(request); err != nil {
			return nil, err
		}
	}
	response, err := base.RoundTrip(request)
	switch {
	case err != nil:
		return nil, err
	case f.Lost:
		_, _ = io.Copy(io.Discard, response.Body) // so that the server is done
		_ = response.Body.Close()
		return nil, errReset
	case f.Flip || f.Cut || f.Stall || f.Pace > 0:
		response.Body = &body{ReadCloser: response.Body, fault: f, request: request, middle: max(0, response.ContentLength/2)}
	}
	return response, nil
}

// wait does what happens before the request is sent.
func (f Fault) wait(request *http.Request) error {
	ctx := request.Context()
	if err := sleep(ctx, f.Delay); err != nil {
		return err
	}
	if f.Hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if f.Reset {
		return errReset
	}
	return nil
}

func (f Fault) answer(request *http.Request) *http.Response {
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

// spoil returns a request whose body differs in one bit.
func spoil(request *http.Request) (*http.Request, error) {
	if request.Body == nil {
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
	spoilt := request.Clone(request.Context())
	spoilt.Body = io.NopCloser(bytes.NewReader(sent))
	return spoilt, nil
}

func closeBody(request *http.Request) {
	if request.Body != nil {
		_ = request.Body.Close()
	}
}

// body is an answer's body with a fault.
type body struct {
	io.ReadCloser
	fault    Fault
	request  *http.Request
	position int64
	middle   int64 // half of the length, or 0 when that is unknown
}

func (b *body) Read(p []byte) (int, error) {
	broken := b.fault.Cut || b.fault.Stall
	if broken && b.position >= b.middle {
		return 0, b.breakOff()
	}
	if broken {
		p = p[:min(int64(len(p)), b.middle-b.position)]
	}
	n, err := b.ReadCloser.Read(p)
	if at := b.middle - b.position; b.fault.Flip && at >= 0 && at < int64(n) {
		p[at] ^= 1
	}
	b.position += int64(n)
	if err := sleep(b.request.Context(), b.fault.Pace*time.Duration(n)>>10); err != nil {
		return 0, err
	}
	return n, err
}

func (b *body) breakOff() error {
	if b.fault.Cut {
		return errReset
	}
	<-b.request.Context().Done()
	return b.request.Context().Err()
}

// closing reports its first Close.
type closing struct {
	io.ReadCloser
	closed func()
}

func (c *closing) Close() error {
	defer c.closed()
	return c.ReadCloser.Close()
}
