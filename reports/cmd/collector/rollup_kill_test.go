package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/merged"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
)

// between merges the files of a range, without a store.
func between(t *testing.T, dir string, from, to time.Time) string {
	t.Helper()
	args := []string{"merge", "--json"}
	for _, f := range must1(os.ReadDir(dir)) {
		at := must1(strconv.ParseInt(strings.TrimSuffix(f.Name(), ".json"), 10, 64))
		if at >= from.UnixNano() && at < to.UnixNano() {
			args = append(args, filepath.Join(dir, f.Name()))
		}
	}
	return must(t, args...)
}

// TestKilledBuilders kills a collector that builds roll-ups with SIGKILL, again and again at random moments,
// while late reports come in between. No answer differs from the merge of the files, and at the end
// every roll-up is right. The flag kills says how often.
func TestKilledBuilders(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	dir, begin := minutesOf(t, 100, 2*time.Hour)
	must(t, "import", "--data", data, dir)
	levels := []string{"--rollup-spans", "10s,1m,1h", "--rollup-lateness", "3s"}
	check := func(at ...string) {
		t.Helper()
		from := begin.Add(time.Duration(rand.IntN(4000)) * time.Second)
		to := from.Add(time.Duration(1+rand.IntN(4000)) * time.Second)
		got := must(t, append([]string{"query", "--json", "--start", fmt.Sprint(from.UnixNano()), "--end", fmt.Sprint(to.UnixNano())}, at...)...)
		goldentest.Equal(t, []byte(got), []byte(between(t, dir, from, to)), withoutID)
	}
	for n := range max(3, *kills/6) {
		late := begin.Add(time.Duration(rand.IntN(6000))*time.Second + time.Duration(n+1))
		file := write(t, filepath.Join(dir, fmt.Sprintf("%d.json", late.UnixNano())), sample(fmt.Sprint("late-", n), 1))
		must(t, "import", "--data", data, file)
		r := runServe(t, nil, append([]string{"--data", data, "--rollup", "all"}, levels...)...)
		check("--from", r.url)
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		_ = r.cmd.Process.Kill()
		<-r.ended
		check("--data", data)
	}
	said := must(t, append([]string{"rollup", "--data", data, "--verify"}, levels...)...)
	if !strings.Contains(said, " verified, of 1 tenant") || strings.Contains(said, " and 0 roll-ups verified") {
		t.Errorf("nothing was built before the kills: %s", said)
	}
	t.Log(said)
	check("--data", data)
}

// putCounter is a bucket behind a proxy that counts the puts of each span's roll-up.
type putCounter struct {
	mu   sync.Mutex
	puts map[string]int // by level and start; guarded by mu
}

// behind returns the URL of a bucket whose puts are counted.
func (c *putCounter) behind(t *testing.T, blobs string) string {
	host := must1(url.Parse(blobs)).Host
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: host})
		r.Out.Host = r.In.Host // the host is signed
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, key, ok := strings.Cut(r.URL.Path, "/rollup/"); ok && r.Method == http.MethodPut {
			c.mu.Lock()
			c.puts[key[:strings.LastIndexByte(key, '-')]]++
			c.mu.Unlock()
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.Replace(blobs, host, server.Listener.Addr().String(), 1)
}

// TestTwoCollectorsBuildOnce has two collectors, each a process, build the roll-ups of one table. None is stored
// twice.
func TestTwoCollectorsBuildOnce(t *testing.T) {
	t.Parallel()
	idx, blobs := newTable(t, servertest.SharedDynamoDBLocal), newBucket(t)
	create(t, idx, blobs)
	dir, _ := minutesOf(t, 50, time.Hour)
	must(t, "import", "--tenant", "a", "--index", idx, "--blobs", blobs, dir)
	s := openStore(t, idx+","+blobs)
	values, past, err := merged.Past(s, &bucket.LevelOptions{Owned: true, Skew: 10 * time.Second, Linger: 5 * time.Minute})
	if err == nil {
		_, err = past.RollUp(t.Context(), "nobody", time.Now(), time.Now(), nil) // as if levels had been on for long
	}
	if err = errors.Join(err, values.Close(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	c := &putCounter{puts: make(map[string]int)}
	var built []int
	var servers []*served
	for range 2 {
		servers = append(servers, serveAsProcess(t, "--role", "collector", "--tenant-header", "X-Scope-OrgID", "--rollup", "all", "--rollup-shared",
			"--index", idx, "--blobs", c.behind(t, blobs)))
	}
	minutes := func() (sum int) {
		built = nil
		for _, s := range servers {
			_, text, _ := strings.Cut(metrics(t, s.url), "\nscope_rollups_built_total{level=\"1m\"} ")
			number, _, _ := strings.Cut(text, "\n")
			n, _ := strconv.Atoi(number)
			built, sum = append(built, n), sum+n
		}
		return sum
	}
	eventually(t, func() bool { return minutes() >= 50 }, "the minutes are not built")
	c.mu.Lock()
	defer c.mu.Unlock()
	t.Logf("minutes by process: %v; puts of %d spans", built, len(c.puts))
	if n := minutes(); n != 50 || len(c.puts) < 50 {
		t.Errorf("%d minutes built, %d spans put; want 50 minutes", n, len(c.puts))
	}
	for span, n := range c.puts {
		if n != 1 {
			t.Errorf("the roll-up of %s was put %d times", span, n)
		}
	}
}
