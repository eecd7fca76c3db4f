package main

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/internal/dnstest"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
)

// cluster is two collectors and a query service, each a process, that share a
// table, a bucket and a cache. The query service finds the collectors by DNS.
type cluster struct {
	dns        *dnstest.Server
	collectors []*served
	query      *served
	store      []string
}

const collectorsRecord = "_api._tcp.collector.test"

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{dns: dnstest.Start(t), store: onServers(servertest.SharedDynamoDBLocal)(t)}
	c.dns.SetA("host.test", [4]byte{127, 0, 0, 1})
	common := append([]string{"--window", "10m", "--tenant-header", scopeHeader}, c.store...)
	for range 2 {
		s := serveAsProcess(t, append(common, "--role", "collector", "--tick", "300ms")...)
		c.collectors = append(c.collectors, s)
		c.dns.AddSRV(collectorsRecord, portOf(s.url), "host.test")
	}
	c.query = serveAsProcess(t, append(common, "--role", "query", "--collectors", "srv:"+collectorsRecord,
		"--resolver", c.dns.Addr(), "--collector-timeout", "20s")...)
	await(t, "two collectors are known", func() bool { return strings.Contains(metrics(t, c.query.url), "scope_collectors_known 2\n") })
	return c
}

func portOf(url string) uint16 {
	port := must1(strconv.ParseUint(url[strings.LastIndexByte(url, ':')+1:], 10, 16))
	return uint16(port)
}

// await fails the test unless a condition comes true within a minute.
func await(t *testing.T, what string, met func() bool) {
	t.Helper()
	for begun := time.Now(); !met(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatalf("not within a minute: %s", what)
		}
	}
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

// flushed waits until nothing is left to be stored.
func (c *cluster) flushed(t *testing.T) {
	t.Helper()
	await(t, "all is stored", func() bool {
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

// TestCluster posts the captured reports to two collectors under three tenants
// and asks a query service about the present, the past and what lies across,
// while all is in memory, when it is stored, and when a collector was killed.
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

// killOne kills a collector that has stored all that it took.
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
	await(t, "the dead collector is forgotten", func() bool { return c.missing(t) == "" })
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

// missing is what the query service says is not in its answer.
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
	r.Header.Set(scopeHeader, "a")
	resp := must1(http.DefaultClient.Do(r))
	resp.Body.Close()
	return resp
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
