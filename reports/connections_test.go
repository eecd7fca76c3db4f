package reports

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// dial opens a connection that says text and then waits.
func dial(t *testing.T, address, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// rest returns what comes until the connection is closed.
func rest(t *testing.T, c net.Conn) string {
	t.Helper()
	text, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("%q, %v", text, err)
	}
	return string(text)
}

// counts waits until that many connections stay, and that many wait.
func (cs *connections) counts(t *testing.T, staying, waiting int) {
	t.Helper()
	within(t, fmt.Sprintf("not %d connections of which %d wait", staying, waiting), func() bool {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		return cs.staying == staying && cs.strangers.Len()+cs.known.Len() == waiting
	})
}

// newest waits until the connection that began to wait last has a handler that
// waits for a body.
func (cs *connections) newest(t *testing.T) {
	t.Helper()
	within(t, "no body is waited for", func() bool {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		last := cs.strangers.Back()
		return last != nil && last.Value.(*conn).served
	})
}

const (
	halfHeader = "GET /api HTTP/1.1\r\nHost: x"
	halfBody   = "POST /api/report HTTP/1.1\r\nHost: x\r\n" + mp + "\r\nContent-Length: 1000\r\n\r\nx"
	whole      = "GET /api HTTP/1.1\r\nHost: x\r\n\r\n"
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

// TestMakeRoom holds: one connection too many takes the place of the one that
// has waited longest for its client, whatever that was to send, and that client
// is told.
func TestMakeRoom(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]string{"nothing": "", "half a header": halfHeader, "half a body": halfBody, "a whole request": whole} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, conns := listenLimited(t, setup(t, nil), 2)
			first := dial(t, address, sent)
			if sent == whole {
				answered(t, first)
			}
			conns.counts(t, 1, 1)
			if sent == halfBody {
				conns.newest(t)
			}
			second := dial(t, address, halfHeader)
			conns.counts(t, 2, 2)
			third := dial(t, address, whole)
			if status, _ := answered(t, third); status != 200 {
				t.Errorf("the one too many is answered %d", status)
			}
			text := rest(t, first)
			told := strings.HasPrefix(text, "HTTP/1.1 503 ") && strings.Contains(text, "\r\nRetry-After: 3\r\n") && strings.HasSuffix(text, "\r\n\r\n"+crowded+"\n")
			if half := strings.HasPrefix(name, "half"); half != told || !half && text != "" {
				t.Errorf("the longest is told %q", text)
			}
			conns.counts(t, 2, 2)
			if _, err := io.WriteString(second, "\r\n\r\n"); err != nil {
				t.Error(err)
			}
			if status, _ := answered(t, second); status != 200 {
				t.Errorf("the other one is answered %d", status)
			}
		})
	}
}

// TestLongestWait holds: who gets on with requests does not wait longest, and
// a body has its own time, from the end of the header on.
func TestLongestWait(t *testing.T) {
	t.Parallel()
	address, conns := listenLimited(t, setup(t, nil), 3)
	header, remains := halfBody[:len(halfBody)-20], halfBody[len(halfBody)-20:]
	busy, slow, slower := dial(t, address, whole), dial(t, address, header), dial(t, address, halfHeader)
	answered(t, busy)
	conns.counts(t, 3, 3)
	if _, err := io.WriteString(slow, remains); err != nil {
		t.Fatal(err)
	}
	conns.newest(t)
	for range 3 {
		if _, err := io.WriteString(busy, whole); err != nil {
			t.Fatal(err)
		}
		answered(t, busy)
	}
	for i, longest := range []net.Conn{slower, slow} {
		dial(t, address, "")
		if text := rest(t, longest); !strings.HasPrefix(text, "HTTP/1.1 503 ") {
			t.Errorf("number %d to leave: %q", i+1, text)
		}
	}
	if _, err := io.WriteString(busy, whole); err != nil {
		t.Fatal(err)
	}
	if status, _ := answered(t, busy); status != 200 {
		t.Errorf("the busy one: %d", status)
	}
}

// TestStrangers holds: a flood of connections that were never answered does not
// displace those that were, unless these hold more than half of the places.
func TestStrangers(t *testing.T) {
	t.Parallel()
	address, conns := listenLimited(t, setup(t, nil), 5)
	var known []net.Conn
	for i := range 2 {
		known = append(known, dial(t, address, whole))
		answered(t, known[i])
	}
	for range 10 {
		dial(t, address, halfHeader)
	}
	conns.counts(t, 5, 5)
	for i := range 2 {
		if _, err := io.WriteString(known[i], whole); err != nil {
			t.Fatal(err)
		}
		if status, _ := answered(t, known[i]); status != 200 {
			t.Errorf("%d", status)
		}
	}
	third := dial(t, address, whole)
	answered(t, third)
	conns.counts(t, 5, 5)
	for range 10 {
		dial(t, address, halfHeader)
	}
	if text := rest(t, known[0]); text != "" {
		t.Errorf("the longest of three is told %q", text)
	}
}

// TestNoRoom holds: connections that a handler works for keep their places, and
// one too many waits until one of them ends.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	f := setup(t, func(_ *Options, h *HandlerOptions) { h.Codings = 1 })
	address, conns := listenLimited(t, f, 2)
	if err := f.handler.codings.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	body := encode(t, hosts("h1"))
	post := fmt.Sprintf("POST /api/report HTTP/1.1\r\nHost: x\r\n%s\r\n%s\r\nContent-Length: %d\r\n\r\n%s", mp, gz, len(body), body)
	first, second := dial(t, address, post), dial(t, address, post)
	conns.counts(t, 2, 0)
	third := dial(t, address, whole)
	time.Sleep(50 * time.Millisecond)
	conns.counts(t, 2, 0)
	f.handler.codings.leave()
	for _, c := range []net.Conn{first, second, third} {
		if status, text := answered(t, c); status != 200 {
			t.Errorf("%d %s", status, text)
		}
	}
}

// TestLastWords holds: a client of which half a request came is told once that
// its time is over; one that was answered and says no more is not.
func TestLastWords(t *testing.T) {
	t.Parallel()
	f := setup(t, func(_ *Options, h *HandlerOptions) { h.ClientTimeout = 300 * time.Millisecond })
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

// TestTooLargeIsTold holds: a client that sends all of a body that is too large,
// and only then looks for an answer, finds it.
func TestTooLargeIsTold(t *testing.T) {
	t.Parallel()
	f := setup(t, func(_ *Options, h *HandlerOptions) { h.MaxBody = 1 << 20 })
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

// TestCloseWhileFull holds: a listener that is closed waits for no place.
func TestCloseWhileFull(t *testing.T) {
	t.Parallel()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := LimitConnections(tcp, 1)
	dial(t, l.Addr().String(), "")
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = begin(httptest.NewRequest("GET", "/", nil).WithContext(withConn(t.Context(), first)))
	second := dial(t, l.Addr().String(), "")
	failed := make(chan error)
	go func() {
		_, err := l.Accept()
		failed <- err
	}()
	time.Sleep(50 * time.Millisecond)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v", err)
	}
	if text := rest(t, second); text != "" {
		t.Errorf("the one too many is told %q", text)
	}
	if err := errors.Join(first.Close(), first.SetDeadline(time.Now())); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a deadline of a closed connection: %v", err)
	}
	_ = first.Close()
	l.(*limitedListener).conns.empty(t)
}

// TestNoLimit holds: without a limit the listener is as it was.
func TestNoLimit(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if LimitConnections(l, 0) != l {
		t.Error("0 is a limit")
	}
}

// TestLimitBeneathTLS holds: who had to leave is told nothing in plain text on
// a connection that is encrypted, and requests find their connections.
func TestLimitBeneathTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(nil)
	server.Config = NewServer(setup(t, nil).handler)
	limited := LimitConnections(server.Listener, 1).(*limitedListener)
	server.Listener = limited
	server.StartTLS()
	defer func() {
		server.Close()
		limited.conns.empty(t)
	}()
	open := func(text string) net.Conn {
		c, err := tls.Dial("tcp", server.Listener.Addr().String(), server.Client().Transport.(*http.Transport).TLSClientConfig)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := open(halfBody)
	limited.conns.newest(t)
	second := open(halfHeader)
	if status, text := answered(t, first); status != 503 || text != crowded+"\n" {
		t.Errorf("%d %s", status, text)
	}
	third := open(whole)
	if text, err := io.ReadAll(second); len(text) != 0 {
		t.Errorf("%q, %v", text, err)
	}
	if status, _ := answered(t, third); status != 200 {
		t.Errorf("%d", status)
	}
}

// TestStreams holds: a connection that speaks HTTP/2 has only so many requests
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
