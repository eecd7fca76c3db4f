package faulttest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// echo answers a request with its body, and counts.
type echo struct{ calls int }

func (e *echo) RoundTrip(request *http.Request) (*http.Response, error) {
	e.calls++
	defer closeBody(request)
	recorder := httptest.NewRecorder()
	if _, err := io.Copy(recorder, request.Body); err != nil {
		return nil, err
	}
	response := recorder.Result()
	response.ContentLength = int64(recorder.Body.Len())
	return response, nil
}

// result is what a client sees of one request.
type result struct {
	status int
	body   string
	err    error // of the request, or of its body
}

func send(ctx context.Context, transport http.RoundTripper, text string) result {
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://server/", strings.NewReader(text))
	if err != nil {
		return result{err: err}
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return result{err: err}
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	return result{response.StatusCode, string(got), err}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 5<<10)
	for _, c := range []struct {
		name, sent string
		fault      Fault
		want       result
		calls      int
		took       time.Duration // of ten seconds that the request has
	}{
		{"none", "abcd", Fault{Pass: true}, result{200, "abcd", nil}, 1, 0},
		{"delay", "abcd", Fault{Delay: time.Second}, result{200, "abcd", nil}, 1, time.Second},
		{"long delay", "abcd", Fault{Delay: time.Hour}, result{err: context.DeadlineExceeded}, 0, 10 * time.Second},
		{"hang", "abcd", Fault{Hang: true}, result{err: context.DeadlineExceeded}, 0, 10 * time.Second},
		{"nothing said", "abcd", Fault{}, result{err: syscall.ECONNRESET}, 0, 0},
		{"reset", "abcd", Fault{Err: ErrReset}, result{err: syscall.ECONNRESET}, 0, 0},
		{"status", "abcd", Fault{Status: 503, Body: "slow down"}, result{503, "slow down", nil}, 0, 0},
		{"applied", "abcd", Fault{Applied: true}, result{err: syscall.ECONNRESET}, 1, 0},
		{"late", "abcd", Fault{Applied: true, Hang: true}, result{err: context.DeadlineExceeded}, 1, 10 * time.Second},
		{"corrupt when sent", "abcd", Fault{CorruptSent: true}, result{200, "abbd", nil}, 1, 0},
		{"nothing to corrupt", "", Fault{CorruptSent: true}, result{200, "", nil}, 1, 0},
		{"corrupt", "abcd", Fault{Corrupt: true}, result{200, "abbd", nil}, 1, 0},
		{"truncated", "abcd", Fault{Truncate: true}, result{200, "ab", syscall.ECONNRESET}, 1, 0},
		{"stall", "abcd", Fault{Stall: true}, result{200, "ab", context.DeadlineExceeded}, 1, 10 * time.Second},
		{"pace", long, Fault{Pace: time.Second}, result{200, long, nil}, 1, 5 * time.Second},
		{"no match", "abcd", Fault{Match: func(c Call) bool { return c.Request.Method == http.MethodGet }, Err: ErrReset}, result{200, "abcd", nil}, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				server := &echo{}
				transport := NewTransport(server, 1)
				transport.Inject(c.fault)
				begin := time.Now()
				got := send(ctx, transport, c.sent)
				if got.status != c.want.status || got.body != c.want.body || !errors.Is(got.err, c.want.err) {
					t.Errorf("got %v, want %v", got, c.want)
				}
				if took := time.Since(begin); took != c.took || server.calls != c.calls {
					t.Errorf("took %v and reached the server %d times, want %v and %d", took, server.calls, c.took, c.calls)
				}
				if busy := transport.Busy(); busy != 0 {
					t.Errorf("%d requests are under way at the end", busy)
				}
			})
		})
	}
}

func TestRulesCount(t *testing.T) {
	t.Parallel()
	transport := NewTransport(&echo{}, 7)
	twice := transport.Inject(Fault{Err: ErrReset, Times: 2})
	some := transport.Inject(Fault{Status: 500, Chance: 0.2})
	rest := transport.Inject(Fault{Pass: true})
	for range 1002 {
		send(t.Context(), transport, "a")
	}
	transport.Heal()
	send(t.Context(), transport, "a")
	if twice.Seen() != 1002 || twice.Hit() != 2 {
		t.Errorf("the first rule saw %d and hit %d, want 1002 and 2", twice.Seen(), twice.Hit())
	}
	if some.Seen() != 1000 || some.Hit() < 150 || some.Hit() > 250 {
		t.Errorf("the second rule saw %d and hit %d, want 1000 and about 200", some.Seen(), some.Hit())
	}
	if rest.Seen() != 1000-some.Hit() || rest.Hit() != rest.Seen() {
		t.Errorf("the last rule saw %d and hit %d, want %d", rest.Seen(), rest.Hit(), 1000-some.Hit())
	}
}

func TestPeak(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := NewTransport(http.RoundTripper(roundTripFunc(func(*http.Request) (*http.Response, error) {
			return httptest.NewRecorder().Result(), nil
		})), 1)
		transport.Inject(Fault{Delay: time.Second})
		for range 5 {
			go send(t.Context(), transport, "a")
		}
		synctest.Wait()
		if busy := transport.Busy(); busy != 5 {
			t.Errorf("%d requests are under way, want 5", busy)
		}
		time.Sleep(2 * time.Second)
		if busy, peak := transport.Busy(), transport.Peak(); busy != 0 || peak != 5 {
			t.Errorf("%d requests are under way and at most %d were, want 0 and 5", busy, peak)
		}
	})
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
