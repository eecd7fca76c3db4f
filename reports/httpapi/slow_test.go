package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/connlimit"
	"github.com/timeblob/timeblob/reports/report"
)

// listen serves a handler as the command does.
func listen(t testing.TB, f *fixture) (address string) {
	t.Helper()
	server := NewServer(f.handler)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := connlimit.Listen(tcp, 4096)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// talk sends text over a connection of its own and returns what comes back
// until the server closes it.
func talk(t testing.TB, address, text string) (answer string, took time.Duration) {
	t.Helper()
	begun := time.Now()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return "", 0
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Error(err)
	}
	all, err := io.ReadAll(conn)
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		t.Errorf("the server kept the connection: got %q", all)
	}
	return string(all), time.Since(begun)
}

// TestSlowClients checks that whatever a client does not send, it is not waited for
// long, it holds nothing, and others are served meanwhile.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	f := setup(t, func(_ *reports.Options, h *Options) { h.ClientTimeout, h.Codings = 2*time.Second, 1 })
	address := listen(t, f)
	post := "POST /api/report HTTP/1.1\r\nHost: x\r\nContent-Type: application/msgpack\r\nContent-Length: 1000\r\n"
	var wg sync.WaitGroup
	for name, c := range map[string]struct{ sent, want string }{
		"no request":          {"", ""},
		"half a header":       {"GET /api HTTP/1.1\r\nHost:", "408 Request Timeout"},
		"no body":             {post + "\r\n", "408 Request Timeout"},
		"half a body":         {post + "\r\n" + strings.Repeat("x", 500), "408 Request Timeout"},
		"no body for no path": {"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", "404 Not Found"},
		"body to a GET":       {"GET /api HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", "200 OK"},
	} {
		for range 8 {
			wg.Go(func() {
				answer, took := talk(t, address, c.sent)
				if !strings.Contains(answer, c.want) || c.want == "" && strings.Contains(answer, "200 OK") {
					t.Errorf("%s: %.200q", name, answer)
				}
				if took > 10*time.Second {
					t.Errorf("%s: took %v", name, took)
				}
			})
		}
	}
	body := encode(t, hosts("h1"))
	for range 20 {
		f.post(t, body)
	}
	wg.Wait()
	if n := f.handler.buffered.used.Load(); n != 0 {
		t.Errorf("%d bytes are still counted as buffered", n)
	}
}

// TestSlowReader checks that a client that does not take its answer loses it, what
// it held is free again, and meanwhile it occupies no slot for decoding or encoding.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/api/report", "/api/held?start=" + human.Stamp(noon)} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			f := setup(t, func(_ *reports.Options, h *Options) { h.ClientTimeout, h.Codings = 300*time.Millisecond, 1 })
			r := hosts("h1")
			var noise strings.Builder
			for i := range 1 << 20 {
				fmt.Fprintf(&noise, "%d", i*i*7919)
			}
			r.Topologies[report.Host].Nodes[0].Adjacency = []string{noise.String()}
			f.add(t, "", r, "")
			conn, err := net.Dial("tcp", listen(t, f))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if _, err := bufio.NewReaderSize(conn, 16).ReadByte(); err != nil {
				t.Fatal(err)
			}
			if len(f.handler.codings) != 0 {
				t.Error("who takes an answer slowly holds a place among those that are encoded")
			}
			within(t, "the answer is held for who does not take it", func() bool { return f.handler.buffered.used.Load() == 0 })
		})
	}
}

// TestKeepAlive checks that the deadlines of one request do not end the next.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	f := setup(t, func(_ *reports.Options, h *Options) {
		h.ClientTimeout, h.Timeout = 2*time.Second, time.Minute
	})
	server := httptest.NewUnstartedServer(nil)
	server.Config = NewServer(f.handler)
	server.Start()
	defer server.Close()
	body := string(encode(t, hosts("h1")))
	for range 2 {
		if r := do(t, server, "POST", "/api/report", strings.NewReader(body), probeHeaders...); r.StatusCode != 200 {
			t.Errorf("%d %s", r.StatusCode, r.body)
		}
		time.Sleep(2500 * time.Millisecond) // longer than an answer may take to leave
		if r := do(t, server, "GET", "/api", nil); r.StatusCode != 200 {
			t.Errorf("%d %s", r.StatusCode, r.body)
		}
	}
}

// TestWork checks that a client's time does not run while the work for it does.
func TestWork(t *testing.T) {
	t.Parallel()
	f := setup(t, func(_ *reports.Options, h *Options) { h.ClientTimeout, h.Codings = 2*time.Second, 1 })
	address := listen(t, f)
	if err := f.handler.codings.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(3*time.Second, f.handler.codings.leave)
	body := encode(t, hosts("h1"))
	answer, _ := talk(t, address, fmt.Sprintf("POST /api/report HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n%s\r\n"+
		"Content-Length: %d\r\n\r\n%s", mp, gz, len(body), body))
	if !strings.HasPrefix(answer, "HTTP/1.1 200 OK") {
		t.Errorf("%s", answer)
	}
}

// TestGate checks that no more reports are decoded or encoded at a time than may be,
// and who waits obeys its own time.
func TestGate(t *testing.T) {
	t.Parallel()
	f := setup(t, func(_ *reports.Options, h *Options) { h.Codings, h.Timeout = 1, 50*time.Millisecond })
	if err := f.handler.codings.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*httptest.ResponseRecorder{
		f.serve("POST", "/api/report", encode(t, hosts("h1")), probeHeaders...), f.serve("GET", "/api/report", nil)} {
		if w.Code != http.StatusGatewayTimeout {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	f.handler.codings.leave()
	f.handler.opts.Timeout = time.Minute
	f.post(t, encode(t, hosts("h1")))
	if len(f.handler.codings) != 0 {
		t.Error("a place was not given back")
	}
}

// TestClientLeaves checks that the work for a client ends when it leaves.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	f.handler.codings = make(slots) // nobody may enter
	ctx, leave := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, leave)
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, httptest.NewRequest("GET", "/api/report", nil).WithContext(ctx))
	if w.Code != statusClientClosed {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	b := &budget{max: 10}
	for i, step := range []struct {
		take int64
		ok   bool
	}{{11, true}, {1, false}, {-11, true}, {4, true}, {6, true}, {1, false}, {-4, true}, {4, true}} {
		if step.take < 0 {
			b.give(-step.take)
		} else if ok := b.reserve(step.take); ok != step.ok {
			t.Errorf("step %d: take %d: %v", i, step.take, ok)
		}
	}
	if n := b.used.Load(); n != 10 {
		t.Errorf("%d used", n)
	}
}

// TestManyAtOnce posts as many tenants at once while ticks are stored and
// answers are read, and then finds everything that each of them sent.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	f := setup(t, func(o *reports.Options, h *Options) {
		o.Live = bucket.CollectorOptions[*report.Report]{Tick: 20 * time.Millisecond, Window: time.Second}
		o.Now, h.TenantHeader = time.Now, orgHeader
	})
	ctx, stop := context.WithCancel(t.Context())
	var running, posting sync.WaitGroup
	running.Go(func() {
		if err := f.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	begun := time.Now()
	corpus := capturedReports(t, "hosts/*/*.msgpack.gz")
	tenants := []string{"a", "b", "c"}
	for i, tenant := range tenants {
		for w := range 2 {
			posting.Go(func() {
				for j := w; j < 20; j += 2 {
					f.post(t, corpus[20*i+j].Body, orgHeader+": "+tenant)
					f.serve("GET", "/api/report", nil, orgHeader+": "+tenant)
				}
			})
		}
		posting.Go(func() {
			for range 20 {
				for _, target := range []string{"/api/probes", "/admin/summary", "/metrics", "/api/report?window=10s", "/api"} {
					if w := f.serve("GET", target, nil, orgHeader+": "+tenant, "Accept: application/msgpack"); w.Code != 200 {
						t.Errorf("%s: %d %s", target, w.Code, w.Body)
					}
				}
			}
		})
	}
	posting.Wait()
	stop()
	running.Wait()
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	fresh, err := reports.New(f.index, f.authority, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, tenant := range tenants {
		var sent []*report.Report
		for _, c := range corpus[20*i : 20*i+20] {
			sent = append(sent, decode(t, c.Body))
		}
		got, err := fresh.Range(t.Context(), tenant, begun, time.Now().Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, got, merged(t, sent...))
	}
}

// TestLargeApart checks that a large report waits for other large reports, and that reports of usual size do not wait for it.
func TestLargeApart(t *testing.T) {
	t.Parallel()
	f := setup(t, func(_ *reports.Options, h *Options) { h.Codings, h.Timeout = 1, 50*time.Millisecond })
	r := hosts("h1")
	r.Topologies[report.Host].Nodes[0].Adjacency = []string{strings.Repeat("x", usual)}
	if err := f.handler.large.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body    []byte
		headers []string
	}{
		"gzip'd msgpack": {encode(t, r), []string{mp, gz}}, "msgpack": {msgpack(t, r), []string{mp}}, "JSON": {gzipped(t, asJSON(t, r)), []string{js, gz}},
	} {
		if w := f.serve("POST", "/api/report", c.body, c.headers...); w.Code != http.StatusGatewayTimeout {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	f.handler.opts.Timeout = time.Minute
	f.post(t, encode(t, hosts("h2")))
	f.handler.large.leave()
	f.post(t, encode(t, r))
	equal(t, f.live(t, ""), merged(t, hosts("h2"), r))
	if len(f.handler.large) != 0 || len(f.handler.codings) != 0 {
		t.Error("a place was not given back")
	}
}

// TestRefusalsAreTheOnlyAnswer checks that a request that is refused before it is looked at gets one answer, also when
// the connection closes after it, and that the client sees the answer while it still sends its body.
func TestRefusalsAreTheOnlyAnswer(t *testing.T) {
	t.Parallel()
	f := setup(t, func(_ *reports.Options, h *Options) { h.Tenants = table(t, "\"\" token=s3cret\n") })
	address := listen(t, f)
	large := strings.Repeat("x", 8<<20)
	for name, sent := range map[string]string{
		"question": "GET /api/report HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"two sets": "GET /api/report HTTP/1.1\r\nHost: x\r\nAuthorization: a\r\nAuthorization: b\r\nConnection: close\r\n\r\n",
		"HTTP/1.0": "GET /api/report HTTP/1.0\r\n\r\n",
		"post":     "POST /api/report HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " + strconv.Itoa(len(large)) + "\r\n\r\n" + large,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, _ := talk(t, address, sent)
			if strings.Count(answer, "HTTP/1.") != 1 || !strings.Contains(answer, " 40") {
				t.Errorf("got %q", answer)
			}
		})
	}
}
