package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/files"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/remote"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// collectorStub is an HTTP server that answers posts as a test decides.
type collectorStub struct {
	*httptest.Server
	answer func(w http.ResponseWriter, n int) // n counts the posts from 1

	mu    sync.Mutex
	posts []received // guarded by mu
}

// received is one post.
type received struct {
	path   string
	header http.Header
	body   []byte
	at     time.Time
}

func newStub(t *testing.T, answer func(w http.ResponseWriter, n int)) *collectorStub {
	s := &collectorStub{answer: answer}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *collectorStub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.posts = append(s.posts, received{r.Method + " " + r.URL.Path, r.Header, body, time.Now()})
	n := len(s.posts)
	s.mu.Unlock()
	if s.answer != nil {
		s.answer(w, n)
	}
}

func TestPushPostsAsProbesDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var bodies []string
	for i, e := range []string{".msgpack.gz", ".msgpack", ".json", ".json.gz"} {
		path := write(t, filepath.Join(dir, fmt.Sprintf("%d%s", i, e)), sample("one", i))
		bodies = append(bodies, string(goldentest.Read(t, path)))
	}
	s := newStub(t, nil)
	said := must(t, "push", "--to", s.URL+"/", "--tenant", "t", "--parallel", "1", dir)
	if !strings.HasPrefix(said, "pushed 4 reports, ") {
		t.Errorf("said %q", said)
	}
	want := []struct{ contentType, encoding string }{
		{"application/msgpack", "gzip"}, {"application/msgpack", "gzip"}, {"application/json", ""}, {"application/json", "gzip"},
	}
	if len(s.posts) != len(want) {
		t.Fatalf("%d posts", len(s.posts))
	}
	for i, p := range s.posts {
		if p.path != "POST /api/report" || p.header.Get("Content-Type") != want[i].contentType ||
			p.header.Get("Content-Encoding") != want[i].encoding || p.header.Get(remote.TenantHeader) != "t" {
			t.Errorf("post %d: %s %v", i, p.path, p.header)
		}
		if i == 1 { // compressed by push
			plain, err := wire.ReadBody(bytes.NewReader(p.body), true, 1<<20)
			if err != nil || string(plain) != bodies[i] {
				t.Errorf("post %d is not the file (%v)", i, err)
			}
		} else if string(p.body) != bodies[i] {
			t.Errorf("post %d is not the file", i)
		}
	}
}

func TestPushTriesAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "1.json"), sample("one", 1))
	write(t, filepath.Join(dir, "2.json"), sample("two", 1))
	s := newStub(t, func(w http.ResponseWriter, n int) {
		switch n {
		case 1:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "full", http.StatusServiceUnavailable)
		case 2:
			http.Error(w, "slow down", http.StatusTooManyRequests)
		case 3:
			panic(http.ErrAbortHandler) // the connection breaks
		}
	})
	said := must(t, "push", "--parallel", "1", "--to", s.URL, dir)
	if !strings.HasPrefix(said, "pushed 2 reports, ") || len(s.posts) != 5 {
		t.Errorf("said %q after %d posts", said, len(s.posts))
	}
	if wait := s.posts[1].at.Sub(s.posts[0].at); wait < time.Second {
		t.Errorf("came back after %v, asked not to within 1s", wait)
	}
	for i, want := range []int{0, 0, 0, 0, 4} {
		if !bytes.Equal(s.posts[i].body, s.posts[want].body) {
			t.Errorf("post %d is not that of another try", i)
		}
	}
}

func TestPushGivesUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 20 {
		write(t, filepath.Join(dir, fmt.Sprintf("%d.json", i)), sample("one", 1))
	}
	s := newStub(t, func(w http.ResponseWriter, _ int) { http.Error(w, "full\nmore", http.StatusServiceUnavailable) })
	r := collect(t, "push", "--parallel", "1", "--patience", "90ms", "--to", s.URL, dir) // shorter than any delay
	if r.code != 1 || !strings.HasPrefix(r.stdout, "pushed 0 reports") {
		t.Errorf("exit %d: %s", r.code, r.stdout)
	}
	if want := "/0.json: gave up after 90ms: 503 Service Unavailable: full; 20 of 20 files not pushed\n"; !strings.HasSuffix(r.stderr, want) ||
		strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("said %q, want %q", r.stderr, want)
	}
	if len(s.posts) != 1 {
		t.Errorf("%d posts: it went on", len(s.posts))
	}
	s.Close()
	r = collect(t, "push", "--patience", "50ms", "--to", s.URL, dir)
	if r.code != 1 || !strings.Contains(r.stderr, "connection refused") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// A refusal that concerns every post ends the push at the first file, with one line that says what to do.
func TestPushStopsWhereNothingIsTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 20 {
		write(t, filepath.Join(dir, fmt.Sprintf("%d.json", i)), sample("one", 1))
	}
	for name, c := range map[string]struct {
		status int
		args   []string
		want   string
	}{
		"no tenant":      {http.StatusUnauthorized, nil, "401 Unauthorized: no (give --tenant"},
		"another header": {http.StatusUnauthorized, []string{"--tenant", "t", "--tenant-header", "X"}, "the header X: --tenant-header must"},
		"forbidden":      {http.StatusForbidden, nil, "403 Forbidden: no (a collector forbids only what a token"},
		"no collector":   {http.StatusNotFound, nil, "404 Not Found: no (no collector answers at http://"},
		"query service":  {http.StatusMethodNotAllowed, nil, "405 Method Not Allowed: no (a query service takes no reports: give"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStub(t, func(w http.ResponseWriter, _ int) { http.Error(w, "no", c.status) })
			r := collect(t, append([]string{"push", "--to", s.URL, dir}, c.args...)...)
			if r.code != 1 || !strings.HasPrefix(r.stdout, "pushed 0 reports") || strings.Count(r.stderr, "\n") != 1 ||
				!strings.Contains(r.stderr, c.want) || !strings.HasSuffix(r.stderr, "; 20 of 20 files not pushed\n") {
				t.Errorf("exit %d, said %q, %q, want %q", r.code, r.stdout, r.stderr, c.want)
			}
		})
	}
}

// TestPushBelievesCollectorsOnly checks that push names an answer that does not come from a collector, and
// counts nothing as pushed.
func TestPushBelievesCollectorsOnly(t *testing.T) {
	t.Parallel()
	s := newStub(t, func(http.ResponseWriter, int) {})
	login := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<html>Log in</html>")
	}
	for want, answer := range map[string]http.HandlerFunc{
		"the answer is text/html; charset=utf-8, but a collector's answer is empty": login,
		"301 Moved Permanently to " + s.URL + "/api/report":                         http.RedirectHandler(s.URL+"/api/report", http.StatusMovedPermanently).ServeHTTP,
		"302 Found to http://sso.example.com/login?to=x":                            http.RedirectHandler("http://sso.example.com/login?to=x", http.StatusFound).ServeHTTP,
		"308 Permanent Redirect to " + s.URL + "/api/report":                        http.RedirectHandler(s.URL+"/api/report", http.StatusPermanentRedirect).ServeHTTP,
		"202 Accepted":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) },
		"204 No Content": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			other := httptest.NewServer(answer)
			defer other.Close()
			file := write(t, filepath.Join(t.TempDir(), "1.json"), sample("one", 1))
			r := collect(t, "push", "--to", other.URL, file)
			if r.code != 1 || !strings.HasPrefix(r.stdout, "pushed 0 reports") || !strings.Contains(r.stderr, want) {
				t.Errorf("exit %d, %s%s, want %q", r.code, r.stdout, r.stderr, want)
			}
		})
	}
	t.Run("query", func(t *testing.T) {
		t.Parallel()
		other := httptest.NewServer(http.HandlerFunc(login))
		defer other.Close()
		r := collect(t, "query", "--from", other.URL, "--at", "now")
		if want := "the answer is not a report but text/html; charset=utf-8: check the URL"; r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("exit %d, %s, want %q", r.code, r.stderr, want)
		}
	})
}

func TestPushGoesOnAfterABadReport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 3 {
		write(t, filepath.Join(dir, fmt.Sprintf("%d.json", i)), sample("one", i))
	}
	s := newStub(t, func(w http.ResponseWriter, n int) {
		if n == 2 {
			http.Error(w, "not a report", http.StatusBadRequest)
		}
	})
	r := collect(t, "push", "--parallel", "1", "--to", s.URL, dir)
	if r.code != 1 || !strings.HasPrefix(r.stdout, "pushed 2 reports") || len(s.posts) != 3 ||
		!strings.Contains(r.stderr, "1.json: 400 Bad Request: not a report\n") || !strings.Contains(r.stderr, "1 of 3 files failed") {
		t.Errorf("exit %d, %s, %d posts: %s", r.code, r.stdout, len(s.posts), r.stderr)
	}
}

func TestPushEndsWhenInterrupted(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "1.json"), sample("one", 1))
	ctx, cancel := context.WithCancel(t.Context())
	s := newStub(t, func(w http.ResponseWriter, _ int) {
		http.Error(w, "full", http.StatusServiceUnavailable)
		cancel()
	})
	r := call{args: []string{"push", "--to", s.URL, path}}.run(ctx)
	if r.code != 1 || r.stderr != "collector: interrupted\n" {
		t.Errorf("exit %d: %q", r.code, r.stderr)
	}
}

// Posts keep the intervals between the times in the names, divided by N, even when posts are slow.
func TestPace(t *testing.T) {
	t.Parallel()
	second := time.Second.Nanoseconds()
	for factor, want := range map[pace][]time.Duration{
		0:   {0, 0, 0},
		1:   {0, 3 * time.Second, 10 * time.Second},
		2:   {0, 1500 * time.Millisecond, 5 * time.Second},
		0.5: {0, 6 * time.Second, 20 * time.Second},
	} {
		u := &pusher{pace: factor}
		start := time.Now()
		due := u.schedule(start)
		var got []time.Duration
		for _, t0 := range []int64{0, 3 * second, 10 * second} {
			at, err := due(fmt.Sprintf("x/%d.json", 1_700_000_000*second+t0))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, at.Sub(start))
		}
		if !slices.Equal(got, want) {
			t.Errorf("at pace %v due after %v, want %v", factor, got, want)
		}
	}
}

func TestPaceNeedsTimes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x.json"), sample("one", 1))
	write(t, filepath.Join(dir, "1.json"), sample("one", 1))
	write(t, filepath.Join(dir, "200000001.json"), sample("one", 1))
	s := newStub(t, nil)
	start := time.Now()
	r := collect(t, "push", "--pace", "--to", s.URL, dir)
	if r.code != 1 || !strings.Contains(r.stderr, "x.json: the name") || !strings.HasPrefix(r.stdout, "pushed 2 reports") {
		t.Errorf("exit %d, %s: %s", r.code, r.stdout, r.stderr)
	}
	if took := time.Since(start); took < 200*time.Millisecond {
		t.Errorf("took %v, the names are 200ms apart", took)
	}
}

func TestDeliverBacksOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		tenant := ""
		collector := must1(remote.DefineFlags(cli.NewFlags("push"), &tenant).At("x", 1))
		collector.HTTP.Transport = roundTripper(func(*http.Request) (*http.Response, error) {
			at = append(at, time.Since(start))
			return nil, net.ErrClosed
		})
		u := &pusher{patience: time.Minute, collector: collector}
		var warned []string
		u.warn = func(format string, args ...any) { warned = append(warned, fmt.Sprintf(format, args...)) }
		err := u.deliver(t.Context(), &files.Post{})
		if !strings.Contains(fmt.Sprint(err), "gave up after 1m0s") {
			t.Errorf("error %v", err)
		}
		if len(warned) != 1 || !strings.HasPrefix(warned[0], "warning: it tries again, for 1m0s at most: Post ") {
			t.Errorf("warned %q, want one line at the first failure", warned)
		}
		if n := len(at); n < 10 || n > 40 || at[n-1] < 50*time.Second || time.Since(start) > time.Minute {
			t.Errorf("%d tries at %v", n, at)
		}
		for i := 1; i < len(at); i++ {
			if wait := at[i] - at[i-1]; wait < 100*time.Millisecond || wait > 7500*time.Millisecond {
				t.Errorf("waited %v before try %d", wait, i+1)
			}
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
