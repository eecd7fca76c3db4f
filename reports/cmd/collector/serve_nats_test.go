package main

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/remote"
	"github.com/timeblob/timeblob/reports/report"
)

// shortcut writes the file of a shortcut report of one process on a host.
func shortcut(t *testing.T) string {
	r := report.New()
	r.Shortcut = true
	r.Topologies[report.Process].Nodes = []*report.Node{{ID: "box;4711", Topology: "process",
		Latest: report.ValuesOf(report.Latest{Key: "host_node_id", Timestamp: report.InstantOf(time.Now()), Value: "box;<host>"})}}
	return write(t, filepath.Join(t.TempDir(), "1700000000000000000.msgpack.gz"), r)
}

// waited sends a waiting request to a collector and returns the answer.
func waited(url, tenant string) <-chan string {
	answered := make(chan string, 1)
	go func() {
		request := must1(http.NewRequest(http.MethodGet, url+"/api/wait?timeout=1s", nil))
		request.Header.Set(remote.TenantHeader, tenant)
		request.Close = true
		resp, err := http.DefaultClient.Do(request)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		answered <- fmt.Sprint(resp.StatusCode, " ", string(body), err)
	}()
	return answered
}

// reach pushes a shortcut to one collector until a client that waits at another is answered.
func reach(t *testing.T, from, to *served) {
	t.Helper()
	file := shortcut(t)
	for begun := time.Now(); ; {
		answered := waited(to.url, "acme.eu")
		for len(answered) == 0 {
			must(t, "push", "--to", from.url, "--tenant", "acme.eu", file)
			time.Sleep(20 * time.Millisecond)
		}
		said := <-answered
		if said == `200 {"shortcut":true}<nil>` {
			return
		}
		if !strings.HasPrefix(said, "204") && !strings.Contains(said, "refused") || time.Since(begun) > time.Minute {
			t.Fatalf("who waits was answered %s", said)
		}
	}
}

// TestServeNATS posts a shortcut to one collector. A client that waits at another collector is answered, and
// the answer there shows the shortcut. NATS may be down at the start, and later.
func TestServeNATS(t *testing.T) {
	t.Parallel()
	nats, server := servertest.NATS(t)
	memcached, _ := servertest.Memcached(t)
	server.Kill()
	stores := append(create(t, newTable(t, servertest.SharedDynalite), newBucket(t)), "--cache", "memcached://"+memcached,
		"--tenant-header", remote.TenantHeader, "--nats", strings.Replace(nats, "nats://", "nats://scope:"+escaped+"@", 1))
	a, b := serveWithin(t, stores...), serveAsProcess(t, stores...)
	must(t, "push", "--to", a.url, "--tenant", "acme.eu", shortcut(t)) // for another tenant
	server.Restart()
	reach(t, a, b)
	live := must(t, "query", "--json", "--from", b.url, "--tenant", "acme.eu", "--at", "now")
	if !strings.Contains(live, `"box;4711"`) {
		t.Errorf("it does not show the shortcut: %s", live)
	}
	server.Kill()
	must(t, "push", "--to", a.url, "--tenant", "acme.eu", shortcut(t))
	server.Restart()
	reach(t, b, a)
	for _, want := range []string{`scope_nats_requests_total{method="SubscribeSync",status_code="200"}`,
		`scope_shortcut_sends_total{result="bus_failed"}`, "scope_nats_connected 1"} {
		if !strings.Contains(metrics(t, a.url), want) {
			t.Errorf("no %s among the metrics", want)
		}
	}
	if r := collect(t, "push", "--to", a.url, "--tenant", "acme..eu", shortcut(t)); r.code != 1 || !strings.Contains(r.stderr, "two dots in a row") {
		t.Errorf("a tenant that is no subject: exit %d, %s", r.code, r.stderr)
	}
	http.DefaultClient.CloseIdleConnections()
	waiting := waited(b.url, "acme.eu")
	for _, s := range []*served{a, b} {
		if code := s.stop(); code != 0 || strings.Contains(s.said(), escaped) || strings.Contains(s.said(), secret) {
			t.Errorf("exit %d: %s", code, s.said())
		}
	}
	<-waiting
}

// escaped is the secret as it is escaped in a URL of NATS servers.
var escaped = strings.ReplaceAll(secret, "/", "%2F")

// TestServeNATSWithoutCache checks that waiting clients are answered without a cache, and that the log
// explains what is missing.
func TestServeNATSWithoutCache(t *testing.T) {
	t.Parallel()
	nats, _ := servertest.NATS(t)
	flags := []string{"--tenant-header", remote.TenantHeader, "--nats", nats}
	a, b := serveWithin(t, append(flags, embedded(t)...)...), serveWithin(t, append(flags, embedded(t)...)...)
	reach(t, a, b)
	live := must(t, "query", "--json", "--from", b.url, "--tenant", "acme.eu", "--at", "now")
	if strings.Contains(live, `"box;4711"`) {
		t.Errorf("it shows what nothing carried: %s", live)
	}
	for _, s := range []*served{a, b} {
		if code := s.stop(); code != 0 || strings.Count(s.said(), "--nats without --cache") != 1 {
			t.Errorf("exit %d: %s", code, s.said())
		}
	}
}

func TestBadNATS(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"127.0.0.1:4222":                       "--nats: natsbus: a server must begin with nats:// or tls://",
		"nats://k:" + secret + "@127.0.0.1":    "--nats: natsbus: a server is not a URL",
		"nats://k:" + escaped + "@h/x":         "nothing may follow",
		"nats://k:" + escaped + "@h,tls://h":   "same scheme",
		"nats://k:" + escaped + "@h,nats://":   "no host",
		"http://k:" + escaped + "@127.0.0.1:1": "must begin with nats://",
	} {
		r := collect(t, "serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(t.TempDir(), "d"), "--nats", url)
		checkUsage(t, r, want)
		if strings.Contains(r.stderr, escaped) {
			t.Errorf("it says the secret: %s", r.stderr)
		}
	}
	r := collect(t, "serve", "nats://k:"+secret+"@h")
	checkUsage(t, r, "nats://…@h")
}
