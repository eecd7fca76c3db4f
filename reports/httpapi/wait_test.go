package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/internal/reportstest"
)

// asked is a request that waits.
func (f *fixture) asked(ctx context.Context, target string, headers ...string) <-chan *httptest.ResponseRecorder {
	done := make(chan *httptest.ResponseRecorder, 1)
	go func() { done <- f.serveContext(ctx, target, headers...) }()
	synctest.Wait()
	return done
}

func (f *fixture) serveContext(ctx context.Context, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w
}

// waits returns how many requests wait for a shortcut.
func (f *fixture) waits() int { return int(f.handler.waiting.used.Load()) }

// TestWait checks that a request that waits is answered when a shortcut of its
// tenant comes, wherever it comes, and when its time is over.
func TestWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus := new(reportstest.Bus)
		f, other := setup(t, shared(bus, nil)), setup(t, shared(bus, nil))
		defer f.closed(t)
		defer other.closed(t)
		other.clock.Advance(time.Millisecond) // two services' clocks never read the same, to the nanosecond
		for name, come := range map[string]func(tenant string){
			"here":  func(tenant string) { f.add(t, tenant, cut("c"), "") },
			"there": func(tenant string) { other.add(t, tenant, cut("c"), "") },
		} {
			waiting := f.asked(t.Context(), "/api/wait?timeout=10s", orgHeader, "a")
			come("b")
			f.add(t, "a", hosts("h1"), "")
			synctest.Wait()
			if len(waiting) != 0 {
				t.Fatalf("%s: answered without a shortcut: %v", name, <-waiting)
			}
			begun := time.Now()
			come("a")
			w := <-waiting
			var said map[string]bool
			if err := json.Unmarshal(w.Body.Bytes(), &said); w.Code != 200 || err != nil || len(said) != 1 || !said["shortcut"] || time.Since(begun) != 0 {
				t.Errorf("%s: %d %s after %v", name, w.Code, w.Body, time.Since(begun))
			}
		}
		for target, want := range map[string]time.Duration{"/api/wait": 30 * time.Second, "/api/wait?timeout=90ms": 90 * time.Millisecond,
			"/api/wait?timeout=1m": time.Minute, "/api/wait?timeout=": 30 * time.Second} {
			begun := time.Now()
			w := <-f.asked(t.Context(), target, orgHeader, "a")
			if took := time.Since(begun); w.Code != 204 || w.Body.Len() != 0 || took != want {
				t.Errorf("%s: %d %s after %v", target, w.Code, w.Body, took)
			}
		}
		if n := f.waits(); n != 0 || len(bus.Subjects()) != 0 {
			t.Errorf("%d wait, subscribed to %q", n, bus.Subjects())
		}
	})
}

// TestWaitRefuses says what requests that wait are refused for.
func TestWaitRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t, func(_ *reports.Options, h *Options) { h.Timeout = 5 * time.Second })
	for query, want := range map[string]string{
		"timeout=6s":            "parameter timeout: at most 5s\n",
		"timeout=0s":            "parameter timeout: \"0s\" is no positive duration such as 90s or 2h\n",
		"timeout=-1s":           "parameter timeout: \"-1s\" is no positive duration such as 90s or 2h\n",
		"timeout=soon":          "parameter timeout: \"soon\" is no positive duration such as 90s or 2h\n",
		"timeout=1s&timeout=2s": "parameter timeout came 2 times: send it once\n",
	} {
		if w := f.serve("GET", "/api/wait?"+query, nil); w.Code != 400 || w.Body.String() != want {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
	if w := f.serve("POST", "/api/wait", nil); w.Code != 405 {
		t.Errorf("post: %d", w.Code)
	}
}

// TestWaitBounds checks that no more requests wait than may, a place is free again
// when one ends, and it ends when its client leaves.
func TestWaitBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := setup(t, func(_ *reports.Options, h *Options) { h.MaxWaiting, h.Timeout = 2, 10*time.Second })
		ctx, leave := context.WithCancel(t.Context())
		one, two := f.asked(ctx, "/api/wait"), f.asked(t.Context(), "/api/wait")
		if w := <-f.asked(t.Context(), "/api/wait"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("a third: %d %s", w.Code, w.Body)
		}
		begun := time.Now()
		leave()
		if w := <-one; w.Code != statusClientClosed || time.Since(begun) != 0 {
			t.Errorf("whose client left: %d %s after %v", w.Code, w.Body, time.Since(begun))
		}
		three := f.asked(t.Context(), "/api/wait")
		if n := f.waits(); n != 2 {
			t.Errorf("%d wait", n)
		}
		for _, c := range []<-chan *httptest.ResponseRecorder{two, three} {
			if w := <-c; w.Code != 204 { // after the default, which is no longer than an answer may take
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("they waited %v", took)
		}
		if n := f.waits(); n != 0 || f.handler.waiting.used.Load() != 0 {
			t.Errorf("%d wait, %d are counted", n, f.handler.waiting.used.Load())
		}
	})
}

// TestWaitEndsWithCollector checks that who waits does not keep a collector from
// closing.
func TestWaitEndsWithCollector(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := setup(t, nil)
		waiting := f.asked(t.Context(), "/api/wait")
		begun := time.Now()
		f.closed(t)
		for range 2 {
			w := <-waiting
			if w.Code != 503 || w.Header().Get("Retry-After") == "" || time.Since(begun) != 0 {
				t.Errorf("%d %s after %v", w.Code, w.Body, time.Since(begun))
			}
			waiting = f.asked(t.Context(), "/api/wait")
		}
		<-waiting
	})
}

// TestWaitEndsWithServer checks that a server that shuts down does not wait for who
// waits, and a client that leaves is not waited for either.
func TestWaitEndsWithServer(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, ended := NewServer(f.handler), make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	address := listener.Addr().String()
	leaving, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(leaving, "GET /api/wait?timeout=1m HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	servertest.Eventually(t, "one waits", func() bool { return f.waits() == 1 })
	_ = leaving.Close()
	servertest.Eventually(t, "it left", func() bool { return f.waits() == 0 })

	answered := make(chan string, 1)
	go func() {
		answer, _ := talk(t, address, "GET /api/wait?timeout=1m HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		answered <- answer
	}()
	servertest.Eventually(t, "another waits", func() bool { return f.waits() == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), servertest.Patience)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	if answer := <-answered; len(answer) < 12 || answer[9:12] != fmt.Sprint(http.StatusServiceUnavailable) {
		t.Errorf("answered %q", answer)
	}
}
