package httpapi

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports"
)

// answered reads one answer and leaves the connection open.
func answered(t *testing.T, c net.Conn) (status int, line string) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

const (
	halfHeader = "GET /api HTTP/1.1\r\nHost: x"
	halfBody   = "POST /api/report HTTP/1.1\r\nHost: x\r\n" + mp + "\r\nContent-Length: 1000\r\n\r\nx"
	whole      = "GET /api HTTP/1.1\r\nHost: x\r\n\r\n"
)

// TestLastWords checks that a client that sent half a request is told once that its time is over; one that was answered and says no more is not.
func TestLastWords(t *testing.T) {
	t.Parallel()
	f := setup(t, func(_ *reports.Options, h *Options) { h.ClientTimeout = 300 * time.Millisecond })
	address := listen(t, f)
	for name, c := range map[string]struct {
		before, sent, want string
	}{
		"header":                    {"", halfHeader, "HTTP/1.1 408 Request Timeout"},
		"header of a later request": {whole, halfHeader, "HTTP/1.1 408 Request Timeout"},
		"body":                      {"", halfBody, "HTTP/1.1 408 Request Timeout"},
		"body to a GET":             {"", strings.Replace(halfBody, "POST /api/report", "GET /api", 1), "HTTP/1.1 200 OK"},
		"nothing":                   {"", strings.Replace(whole, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1), "HTTP/1.1 200 OK"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := dial(t, address, c.before)
			if c.before != "" {
				answered(t, client)
			}
			if _, err := io.WriteString(client, c.sent); err != nil {
				t.Fatal(err)
			}
			if text := rest(t, client); !strings.HasPrefix(text, c.want) || strings.Count(text, "HTTP/1.1") != 1 {
				t.Errorf("got %q", text)
			}
		})
	}
}

// TestTooLargeIsTold checks that a client that sends all of a body that is too large,
// and only then looks for an answer, finds it.
func TestTooLargeIsTold(t *testing.T) {
	t.Parallel()
	f := setup(t, func(_ *reports.Options, h *Options) { h.MaxBody = 1 << 20 })
	address := listen(t, f)
	for name, header := range map[string]string{
		"at once": "Connection: close\r\nContent-Length: 6000000\r\n\r\n", "connection kept": "Content-Length: 6000000\r\n\r\n",
		"in chunks": "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5b8d80\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 5 {
				client := dial(t, address, "POST /api/report HTTP/1.1\r\nHost: x\r\n"+mp+"\r\n"+header)
				for range 6 {
					if _, err := client.Write(make([]byte, 1_000_000)); err != nil {
						t.Fatal(err)
					}
				}
				if status, text := answered(t, client); status != 413 {
					t.Errorf("%d %s", status, text)
				}
			}
		})
	}
}

// TestStreams checks that a connection that speaks HTTP/2 has only so many requests
// under way; for more a client opens another one.
func TestStreams(t *testing.T) {
	t.Parallel()
	h := setup(t, nil).handler
	server := httptest.NewUnstartedServer(nil)
	server.Config, server.EnableHTTP2 = NewServer(h), true
	server.StartTLS()
	defer server.Close()
	client := server.Client()
	var conns atomic.Int64
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conns.Add(1)
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	if resp, err := client.Get(server.URL + "/healthz"); err != nil || resp.ProtoMajor != 2 {
		t.Fatal(resp, err)
	}
	const requests = 2*maxStreams + 1
	ctx, leave := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	for range requests {
		asking.Go(func() {
			r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/api/wait", nil)
			if err != nil {
				t.Error(err)
				return
			}
			if resp, err := client.Do(r); err == nil {
				t.Errorf("%s by HTTP/%d", resp.Status, resp.ProtoMajor)
				_ = resp.Body.Close()
			}
		})
	}
	within(t, "some do not wait", func() bool { return h.waiting.used.Load() == requests })
	if n := conns.Load(); n < 3 {
		t.Errorf("%d requests are under way on %d connections", requests, n)
	}
	leave()
	asking.Wait()
	within(t, "some wait still", func() bool { return h.waiting.used.Load() == 0 })
}
