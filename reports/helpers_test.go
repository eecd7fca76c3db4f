package reports

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/tiered"
)

func TestMain(m *testing.M) {
	// A server's connection that was closed waits half a second for its client.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// noon is when tests begin that set their own clock.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// clock is a time that a test sets.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

func (c *clock) advance(d time.Duration) { c.set(c.now().Add(d)) }

// fixture is a collector in memory with its clock, its stores and its handler.
type fixture struct {
	*Collector
	clock     *clock
	index     *index.MemIndex
	authority *tiered.MemTier
	registry  *prometheus.Registry
	handler   *Handler
}

// setup returns a fixture. The functions change options before they are used.
func setup(t testing.TB, change func(*Options, *HandlerOptions)) *fixture {
	t.Helper()
	f := &fixture{clock: &clock{t: noon}, index: index.NewMemIndex(), authority: new(tiered.MemTier),
		registry: prometheus.NewRegistry()}
	o := &Options{Registerer: f.registry, Now: f.clock.now}
	ho := &HandlerOptions{Registerer: f.registry, Gatherer: f.registry, ID: "c1", Hostname: "box", Version: "1.2"}
	if change != nil {
		change(o, ho)
	}
	var err error
	if f.Collector, err = New(f.index, f.authority, o); err != nil {
		t.Fatal(err)
	}
	if f.handler, err = NewHandler(f.Collector, ho); err != nil {
		t.Fatal(err)
	}
	return f
}

// serve answers a request with the headers given as "Name: value".
func (f *fixture) serve(method, target string, body []byte, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, bytes.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w
}

// probeHeaders are what a probe of Scope sends with a report.
var probeHeaders = []string{
	"Content-Type: application/msgpack", "Content-Encoding: gzip", "Authorization: Scope-Probe token=s3cret",
	"X-Scope-Probe-ID: 7b889450379efc96", "X-Scope-Probe-Version: 1.13.2",
}

// post posts a report as a probe does, and fails the test unless it is taken.
func (f *fixture) post(t testing.TB, body []byte, headers ...string) {
	t.Helper()
	if w := f.serve("POST", "/api/report", body, append(headers, probeHeaders...)...); w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Fatalf("post: status %d: %s", w.Code, w.Body)
	}
}

// decode returns the report in a blob.
func decode(t testing.TB, blob []byte) *report.Report {
	t.Helper()
	r, err := wire.Codec{}.Decode(blob)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func upgraded(t testing.TB, r *report.Report) *report.Report {
	t.Helper()
	r, err := report.Upgrade(r)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// encode returns the blob of a report.
func encode(t testing.TB, r *report.Report) []byte {
	t.Helper()
	blob, err := wire.Codec{}.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

// equal compares two reports by meaning, but for their IDs.
func equal(t testing.TB, got, want *report.Report) {
	t.Helper()
	sameJSON(t, asJSON(t, got), asJSON(t, want))
}

func sameJSON(t testing.TB, got, want []byte) {
	t.Helper()
	goldentest.Equal(t, got, want, func(path []string) bool { return len(path) == 1 && path[0] == "ID" })
}

func asJSON(t testing.TB, r *report.Report) []byte {
	t.Helper()
	text, err := wire.AppendJSON(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// merged is what a collector must make of reports, by brute force.
func merged(t testing.TB, all ...*report.Report) *report.Report {
	t.Helper()
	parts := make([]*report.Report, len(all))
	for i, r := range all {
		parts[i] = upgraded(t, r)
	}
	m, err := report.Merge(parts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// captured is a report of the corpus.
type captured struct {
	at   time.Time
	body []byte
}

// capturedReports returns reports of the corpus in the order of their times.
func capturedReports(t testing.TB, pattern string) []captured {
	t.Helper()
	var all []captured
	for _, file := range goldentest.Files(t, pattern) {
		stem, _, _ := strings.Cut(filepath.Base(file), ".")
		ns, err := strconv.ParseInt(stem, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, captured{time.Unix(0, ns), goldentest.Read(t, file)})
	}
	return all
}

// hosts returns a report of host nodes, each of a probe of the host's name.
func hosts(ids ...string) *report.Report {
	r := report.New()
	r.TS = noon
	r.ID = strings.Join(ids, "+")
	for _, id := range ids {
		r.Topologies[report.Host].Nodes = append(r.Topologies[report.Host].Nodes, &report.Node{
			ID: id + ";<host>", Topology: "host",
			Latest: []report.Latest{{Key: "control_probe_id", Timestamp: noon, Value: "probe-" + id},
				{Key: "host_name", Timestamp: noon, Value: id}, {Key: "host_scope_version", Timestamp: noon, Value: "1.13.2"}},
		})
	}
	return r
}

// container returns a report of one container on a host.
func container(id, host string) *report.Report {
	r := report.New()
	r.Topologies[report.Container].Nodes = []*report.Node{{ID: id, Topology: "container",
		Latest: []report.Latest{{Key: "docker_container_command", Timestamp: noon, Value: "run --secret x"},
			{Key: "docker_env_TOKEN", Timestamp: noon, Value: "s3cret"},
			{Key: "host_node_id", Timestamp: noon, Value: host + ";<host>"}}}}
	return r
}

func containers(r *report.Report) int { return len(r.Topologies[report.Container].Nodes) }

func gzipped(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	if _, err := zw.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func msgpack(t testing.TB, r *report.Report) []byte {
	t.Helper()
	plain, err := wire.AppendMsgpack(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
