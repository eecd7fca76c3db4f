package main

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/internal/dnstest"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/remote"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// cluster is two collectors and a query service. Each is a process, and they share a
// table, a bucket, a cache and NATS. The query service finds the collectors by DNS.
type cluster struct {
	dns        *dnstest.Server
	nats       *servertest.Process
	subjects   func() []string // the subjects that services subscribe to
	collectors []*served
	query      *served
}

const collectorsRecord = "_api._tcp.collector.test"

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{dns: dnstest.Start(t)}
	c.dns.SetA("host.test", [4]byte{127, 0, 0, 1})
	var bus string
	bus, c.subjects, c.nats = servertest.MonitoredNATS(t)
	common := append([]string{"--window", "10m", "--tenant-header", remote.TenantHeader, "--nats", bus},
		onServers(servertest.SharedDynamoDBLocal)(t)...)
	for range 2 {
		s := serveAsProcess(t, append(common, "--role", "collector", "--tick", "300ms")...)
		c.collectors = append(c.collectors, s)
		c.dns.AddSRV(collectorsRecord, portOf(s.url), "host.test")
	}
	c.query = serveAsProcess(t, append(common, "--role", "query", "--collectors", "srv:"+collectorsRecord,
		"--resolver", c.dns.Addr(), "--collector-timeout", "20s")...)
	servertest.Eventually(t, "two collectors are known", func() bool { return strings.Contains(metrics(t, c.query.url), "scope_collectors_known 2\n") })
	return c
}

func portOf(url string) uint16 {
	port := must1(strconv.ParseUint(url[strings.LastIndexByte(url, ':')+1:], 10, 16))
	return uint16(port)
}

// push posts files to the collectors in turn.
func (c *cluster) push(t *testing.T, tenant string, files []string) {
	t.Helper()
	for i, s := range c.collectors {
		var part []string
		for n := i; n < len(files); n += len(c.collectors) {
			part = append(part, files[n])
		}
		must(t, append([]string{"push", "--to", s.url, "--tenant", tenant}, part...)...)
	}
}

// flushed waits until the collectors have stored all reports.
func (c *cluster) flushed(t *testing.T) {
	t.Helper()
	servertest.Eventually(t, "all is stored", func() bool {
		return !slices.ContainsFunc(c.collectors, func(s *served) bool {
			return !strings.Contains(metrics(t, s.url), "\nscope_pending_bytes 0\n")
		})
	})
}

func (c *cluster) ask(t *testing.T, tenant string, about ...string) []byte {
	t.Helper()
	return []byte(must(t, append([]string{"query", "--json", "--from", c.query.url, "--tenant", tenant}, about...)...))
}

// want compares an answer with the merge of files.
func (c *cluster) want(t *testing.T, got []byte, files ...string) {
	t.Helper()
	goldentest.Equal(t, got, []byte(must(t, append([]string{"merge", "--json"}, files...)...)), anyID)
}

// TestCluster posts the captured reports to two collectors under three tenants.
// It asks a query service about the present, the past and ranges across both:
// while all reports are in memory, once they are stored, and after a collector was killed.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	parts := map[string][2][]string{}
	for i, tenant := range []string{"a", "b-2", "c.d"} {
		files := goldentest.Files(t, "hosts/*/*")[20*i:]
		parts[tenant] = [2][]string{files[:8], files[8:20]}
		c.push(t, tenant, files[:8])
	}
	for tenant, p := range parts {
		c.want(t, c.ask(t, tenant, "--at", "now"), p[0]...)
	}
	c.flushed(t)
	border := time.Now().UTC().Format(time.RFC3339Nano)
	for tenant, p := range parts {
		c.push(t, tenant, p[1])
		all := append(slices.Clone(p[0]), p[1]...)
		c.want(t, c.ask(t, tenant, "--at", "now"), all...)
		c.want(t, c.ask(t, tenant, "--start", "-1h", "--end", "+1h"), all...)
		c.want(t, c.ask(t, tenant, "--at", border), p[0]...)
		c.want(t, c.ask(t, tenant, "--start", border, "--end", "+1h"), p[1]...)
	}
	if got := c.ask(t, "other", "--start", "-1h", "--end", "+1h"); strings.Contains(string(got), "<host>") {
		t.Errorf("a tenant without reports has some: %.200s", got)
	}
	c.flushed(t)
	c.killOne(t, parts)
}

// killOne kills a collector that has stored all its reports.
func (c *cluster) killOne(t *testing.T, parts map[string][2][]string) {
	t.Helper()
	dead := strings.TrimPrefix(c.collectors[1].url, "http://")
	c.collectors[1].kill()
	for tenant, p := range parts {
		c.want(t, c.ask(t, tenant, "--at", "now"), append(slices.Clone(p[0]), p[1]...)...)
	}
	if missing := c.missing(t); !strings.HasSuffix(dead, missing[strings.LastIndexByte(missing, ':'):]) {
		t.Errorf("missing is %q, want %s", missing, dead)
	}
	if text := metrics(t, c.query.url); strings.Contains(text, "\nscope_collectors_missing_total 0\n") {
		t.Error("no missing collector was counted")
	}
	c.dns.SetSRV(collectorsRecord, portOf(c.collectors[0].url), "host.test")
	servertest.Eventually(t, "the dead collector is forgotten", func() bool { return c.missing(t) == "" })
	c.collectors[0].kill()
	resp := c.get(t, "/api/report")
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without collectors: %s", resp.Status)
	}
	http.DefaultClient.CloseIdleConnections()
	if code := c.query.stop(); code != 0 {
		t.Errorf("the query service ended with %d: %s", code, c.query.said())
	}
}

// missing returns the collectors that the query service reports as missing in its answer.
func (c *cluster) missing(t *testing.T) string {
	t.Helper()
	resp := c.get(t, "/api/report")
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	return resp.Header.Get("Timeblob-Missing")
}

// get asks the query service, and drops the body.
func (c *cluster) get(t *testing.T, path string) *http.Response {
	t.Helper()
	r := must1(http.NewRequestWithContext(t.Context(), http.MethodGet, c.query.url+path, nil))
	r.Header.Set(remote.TenantHeader, "a")
	resp := must1(http.DefaultClient.Do(r))
	resp.Body.Close()
	return resp
}

// TestClusterShortcuts posts shortcuts to a collector while a client waits at
// the query service, before and after an outage of NATS.
func TestClusterShortcuts(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var took []time.Duration
	for i := range 40 {
		took = append(took, c.shortcut(t, fmt.Sprintf("early-%d", i)))
	}
	slices.Sort(took)
	t.Logf("from a post to another service's waiter: median %v, longest %v", took[len(took)/2], took[len(took)-1])
	live := c.ask(t, "a", "--at", "now")
	if !strings.Contains(string(live), "early-39;<host>") {
		t.Error("what a shortcut said is not in the live answer")
	}
	c.nats.Kill()
	files := goldentest.Files(t, "hosts/*/*")[:2]
	c.push(t, "a", files)
	c.nats.Restart()
	servertest.Eventually(t, "all services are connected again", func() bool {
		return !slices.ContainsFunc(append(c.collectors, c.query), func(s *served) bool {
			return !strings.Contains(metrics(t, s.url), "\nscope_nats_connected 1\n")
		})
	})
	c.shortcut(t, "late")
	if got := c.ask(t, "b", "--at", "now"); strings.Contains(string(got), "<host>") {
		t.Errorf("another tenant sees it: %.200s", got)
	}
	http.DefaultClient.CloseIdleConnections()
}

// shortcut posts a shortcut report of a host to a collector while a client waits at the
// query service, and returns the time until the client was answered.
func (c *cluster) shortcut(t *testing.T, host string) time.Duration {
	t.Helper()
	servertest.Eventually(t, "nobody waits", func() bool { return len(c.subjects()) == 0 })
	told := make(chan int, 1)
	go func() {
		resp, err := c.do(t, "GET", c.query.url+"/api/wait?timeout=50s", nil)
		if err != nil {
			told <- 0
			return
		}
		resp.Body.Close()
		told <- resp.StatusCode
	}()
	servertest.Eventually(t, "somebody waits", func() bool { return slices.Equal(c.subjects(), []string{"a"}) })
	r := sample(host, 1)
	r.Shortcut = true
	body := must1(wire.Codec{}.Encode(r))
	begun := time.Now()
	resp := must1(c.do(t, "POST", c.collectors[0].url+"/api/report", body))
	resp.Body.Close()
	if status := <-told; status != http.StatusOK || resp.StatusCode != http.StatusOK {
		t.Fatalf("the post: %s; the wait: %d", resp.Status, status)
	}
	return time.Since(begun)
}

// do sends a request as a probe of tenant a.
func (c *cluster) do(t *testing.T, method, url string, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set(remote.TenantHeader, "a")
	r.Header.Set("Content-Type", "application/msgpack")
	r.Header.Set("Content-Encoding", "gzip")
	return http.DefaultClient.Do(r)
}

// hostileIDs are tenant ids that must be refused, or must not reach another tenant's data.
var hostileIDs = []string{">", "*", "a.", ".a", "a..b", "a b", "a%0Ab", strings.Repeat("a", 10_000), "ä", "x/472222", "a,b", "a*", "a.>"}

// TestClusterRefusesHostileTenants asks and posts under ids that have a special
// meaning in NATS, DynamoDB, S3 or memcached.
func TestClusterRefusesHostileTenants(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.push(t, "a", goldentest.Files(t, "hosts/*/*")[:2])
	body := must1(wire.Codec{}.Encode(sample("evil", 1)))
	for _, id := range hostileIDs {
		for _, at := range []string{c.collectors[0].url + "/api/report", c.query.url + "/api/report", c.query.url + "/api/wait?timeout=1ms"} {
			for _, method := range []string{"GET", "POST"} {
				r := must1(http.NewRequestWithContext(t.Context(), method, at, bytes.NewReader(body)))
				r.Header.Set(remote.TenantHeader, id)
				r.Header.Set("Content-Type", "application/msgpack")
				r.Header.Set("Content-Encoding", "gzip")
				resp := must1(http.DefaultClient.Do(r))
				resp.Body.Close()
				if resp.StatusCode < 400 || resp.StatusCode >= 500 {
					t.Errorf("%s %s as %.20q: %s", method, at, id, resp.Status)
				}
			}
		}
	}
	for _, id := range []string{"a.b", "x-472222", "A"} {
		if got := c.ask(t, id, "--at", "now"); strings.Contains(string(got), "<host>") {
			t.Errorf("%s sees another tenant's: %.200s", id, got)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestRoleFlags(t *testing.T) {
	t.Parallel()
	aws := []string{"--index", "dynamodb://k:s@127.0.0.1:1/t", "--blobs", "s3://k:s@127.0.0.1:1/b"}
	for want, args := range map[string][]string{
		"must be all, collector or query":     {"--role", "boss"},
		"--role query needs --collectors":     append([]string{"--role", "query"}, aws...),
		"--collectors goes with --role query": {"--collectors", "a:1"},
		"--role query needs --index":          {"--role", "query", "--collectors", "a:1"},
		"--alone is not for --role query":     append([]string{"--role", "query", "--collectors", "a:1", "--alone"}, aws...),
		"--alone is not for --role collector": append([]string{"--role", "collector", "--alone"}, aws...),
		"must have a host and a port":         append([]string{"--role", "query", "--collectors", "a"}, aws...),
		"--collector-timeout":                 append([]string{"--role", "query", "--collectors", "a:1", "--collector-timeout", "0s"}, aws...),
		`resolver: must be host:port`:         append([]string{"--role", "query", "--collectors", "a:1", "--resolver", "here"}, aws...),
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			r := collect(t, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
			if r.code != 2 || !strings.Contains(r.stderr, want) || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("exit %d, said %s", r.code, fmt.Sprintf("%q", r.stderr))
			}
		})
	}
}
