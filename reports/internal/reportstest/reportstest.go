// Package reportstest holds what the tests of the packages around reports share:
// reports, a clock, a bus and comparisons.
package reportstest

import (
	"bytes"
	"compress/gzip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// Noon is the time at which a Clock begins in most tests.
var Noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// Clock is a clock that a test sets.
type Clock struct {
	mu sync.Mutex // guards t
	t  time.Time
}

// NewClock returns a clock that shows Noon.
func NewClock() *Clock { return &Clock{t: Noon} }

// Now returns the time that was set.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// Set sets the time.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

// Advance moves the time forward.
func (c *Clock) Advance(d time.Duration) { c.Set(c.Now().Add(d)) }

// Decode returns the report in a blob.
func Decode(t testing.TB, blob []byte) *report.Report {
	t.Helper()
	r, err := wire.Codec{}.Decode(blob)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Upgraded returns a report after report.Upgrade.
func Upgraded(t testing.TB, r *report.Report) *report.Report {
	t.Helper()
	r, err := report.Upgrade(r)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Encode returns the blob of a report.
func Encode(t testing.TB, r *report.Report) []byte {
	t.Helper()
	blob, err := wire.Codec{}.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

// Equal compares the meaning of two reports, but not their IDs.
func Equal(t testing.TB, got, want *report.Report) {
	t.Helper()
	SameJSON(t, JSON(t, got), JSON(t, want))
}

// SameJSON compares two reports in JSON, but not their IDs.
func SameJSON(t testing.TB, got, want []byte) {
	t.Helper()
	goldentest.Equal(t, got, want, func(path []string) bool { return len(path) == 1 && path[0] == "ID" })
}

// JSON returns a report in JSON.
func JSON(t testing.TB, r *report.Report) []byte {
	t.Helper()
	text, err := wire.AppendJSON(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Merged returns the merge of reports that a collector must answer with.
func Merged(t testing.TB, all ...*report.Report) *report.Report {
	t.Helper()
	parts := make([]*report.Report, len(all))
	for i, r := range all {
		parts[i] = Upgraded(t, r)
	}
	m, err := report.Merge(parts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Captured is a report of the corpus.
type Captured struct {
	At   time.Time
	Body []byte
}

// Corpus returns reports of the corpus in the order of their times.
func Corpus(t testing.TB, pattern string) []Captured {
	t.Helper()
	var all []Captured
	for _, file := range goldentest.Files(t, pattern) {
		stem, _, _ := strings.Cut(filepath.Base(file), ".")
		ns, err := strconv.ParseInt(stem, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, Captured{time.Unix(0, ns), goldentest.Read(t, file)})
	}
	return all
}

// Hosts returns a report of host nodes, each from a probe with the host's name.
func Hosts(ids ...string) *report.Report {
	r := report.New()
	r.TS = Noon
	r.ID = strings.Join(ids, "+")
	for _, id := range ids {
		r.Topologies[report.Host].Nodes = append(r.Topologies[report.Host].Nodes, &report.Node{
			ID: id + ";<host>", Topology: "host",
			Latest: report.ValuesOf(report.Latest{Key: "control_probe_id", Timestamp: report.InstantOf(Noon), Value: "probe-" + id},
				report.Latest{Key: "host_name", Timestamp: report.InstantOf(Noon), Value: id}, report.Latest{Key: "host_scope_version", Timestamp: report.InstantOf(Noon), Value: "1.13.2"}),
		})
	}
	return r
}

// Container returns a report of one container on a host.
func Container(id, host string) *report.Report {
	r := report.New()
	r.Topologies[report.Container].Nodes = []*report.Node{{ID: id, Topology: "container",
		Latest: report.ValuesOf(report.Latest{Key: "docker_container_command", Timestamp: report.InstantOf(Noon), Value: "run --secret x"},
			report.Latest{Key: "docker_env_TOKEN", Timestamp: report.InstantOf(Noon), Value: "s3cret"},
			report.Latest{Key: "host_node_id", Timestamp: report.InstantOf(Noon), Value: host + ";<host>"})}}
	return r
}

// Shortcut returns a shortcut of one container on host h1.
func Shortcut(id string) *report.Report {
	r := Container(id, "h1")
	r.Shortcut, r.ID = true, id
	return r
}

// Containers counts the containers of a report.
func Containers(r *report.Report) int { return len(r.Topologies[report.Container].Nodes) }

// Gzipped compresses bytes.
func Gzipped(t testing.TB, plain []byte) []byte {
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

// Msgpack returns a report in msgpack.
func Msgpack(t testing.TB, r *report.Report) []byte {
	t.Helper()
	plain, err := wire.AppendMsgpack(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
