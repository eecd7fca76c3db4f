package connlimit

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/reports/internal/reportstest"
)

// Shorthands for what many tests use.
var (
	dial   = reportstest.Dial
	rest   = reportstest.Rest
	within = reportstest.Within
)

// counts waits until that many connections stay, and that many wait.
func (cs *connections) counts(t *testing.T, staying, waiting int) {
	t.Helper()
	within(t, fmt.Sprintf("not %d connections of which %d wait", staying, waiting), func() bool {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		return cs.held == staying && cs.unanswered.Len()+cs.answered.Len() == waiting
	})
}

// newest waits until the connection that began to wait last has a handler that
// waits for a body.
func (cs *connections) newest(t *testing.T) {
	t.Helper()
	within(t, "no body is waited for", func() bool {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		last := cs.unanswered.Back()
		return last != nil && last.Value.(*conn).served
	})
}

const (
	halfHeader = "GET /api HTTP/1.1\r\nHost: x"
	halfBody   = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx"
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

// TestMakeRoom checks that one connection too many takes the place of the one that
// has waited longest for its client, whatever that was to send, and that client
// is told.
func TestMakeRoom(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]string{"nothing": "", "half a header": halfHeader, "half a body": halfBody, "a whole request": whole} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, conns := serve(t, nil, 2)
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
			told := strings.HasPrefix(text, "HTTP/1.1 503 ") && strings.Contains(text, "\r\nRetry-After: 3\r\n") && strings.HasSuffix(text, "\r\n\r\n"+ErrEvicted.Error()+"\n")
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

// TestLongestWait checks that who gets on with requests does not wait longest, and
// a body has its own time, from the end of the header on.
func TestLongestWait(t *testing.T) {
	t.Parallel()
	address, conns := serve(t, nil, 3)
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

// TestUnansweredConnections checks that a flood of connections without an answer so far does not displace answered connections, unless these hold more than half of the places.
func TestUnansweredConnections(t *testing.T) {
	t.Parallel()
	address, conns := serve(t, nil, 5)
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

// TestNoRoom checks that connections that a handler works for keep their places, and
// one too many waits until one of them ends.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	busy := make(chan struct{})
	address, conns := serve(t, busy, 2)
	const post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
	first, second := dial(t, address, post), dial(t, address, post)
	conns.counts(t, 2, 0)
	third := dial(t, address, whole)
	time.Sleep(50 * time.Millisecond)
	conns.counts(t, 2, 0)
	close(busy)
	for _, c := range []net.Conn{first, second, third} {
		if status, text := answered(t, c); status != 200 {
			t.Errorf("%d %s", status, text)
		}
	}
}

// TestCloseWhileFull checks that a listener that is closed waits for no place.
func TestCloseWhileFull(t *testing.T) {
	t.Parallel()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Listen(tcp, 1)
	dial(t, l.Addr().String(), "")
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = Begin(httptest.NewRequest("GET", "/", nil).WithContext(Context(t.Context(), first)))
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

// TestNoLimit checks that without a limit the listener is as it was.
func TestNoLimit(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if Listen(l, 0) != l {
		t.Error("0 is a limit")
	}
}

// TestLimitBeneathTLS checks that who had to leave is told nothing in plain text on
// a connection that is encrypted, and requests find their connections.
func TestLimitBeneathTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(nil)
	server.Config = newServer(nil)
	limited := Listen(server.Listener, 1).(*limitedListener)
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
	if status, text := answered(t, first); status != 503 || text != ErrEvicted.Error()+"\n" {
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

// newServer returns a server whose handler reads the body and then waits until
// busy is closed, unless busy is nil.
func newServer(busy <-chan struct{}) *http.Server {
	handler := func(w http.ResponseWriter, r *http.Request) {
		r, limited := Begin(r)
		defer limited.End()
		if _, err := io.Copy(io.Discard, r.Body); errors.Is(err, ErrEvicted) {
			w.Header().Set("Retry-After", "3")
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		if busy != nil && r.Method == http.MethodPost {
			<-busy
		}
	}
	return &http.Server{Handler: http.HandlerFunc(handler), ReadHeaderTimeout: 10 * time.Second, ConnContext: Context, ConnState: State,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
}

// serve serves that handler over so many connections.
func serve(t testing.TB, busy <-chan struct{}, most int) (address string, conns *connections) {
	t.Helper()
	server := newServer(busy)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := Listen(tcp, most)
	conns = &listener.(*limitedListener).conns
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		conns.empty(t)
	})
	return listener.Addr().String(), conns
}

// empty checks that all slots are released.
func (cs *connections) empty(t testing.TB) {
	t.Helper()
	within(t, "slots are still taken", func() bool {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		return cs.held == 0 && cs.evicted == 0 && cs.unanswered.Len()+cs.answered.Len() == 0
	})
}

func TestMain(m *testing.M) {
	// A server's connection that was closed waits half a second for its client.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}
