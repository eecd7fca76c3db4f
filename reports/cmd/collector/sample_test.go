package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/files"
	"github.com/timeblob/timeblob/reports/report"
)

// inMemory matches the sizes in memory, which the runtime decides.
var inMemory = regexp.MustCompile(`, [0-9.]+ ([KM]i)?B in memory`)

// sample returns a small report of one host with a number of processes.
func sample(host string, processes int) *report.Report {
	r := report.New()
	at := time.Unix(1_700_000_000, 0).UTC()
	r.ID, r.TS, r.Window = "id-"+host, at, 3*time.Second
	r.Sampling = report.Sampling{Count: 7, Total: 9}
	r.Plugins = []report.PluginSpec{{ID: "iovisor", Label: "I/O"}}
	r.DNS = []report.DNSRecord{{Address: "10.0.0.1", Forward: []string{host}}}
	id := host + ";<host>"
	r.Topologies[report.Host].Nodes = []*report.Node{{ID: id, Topology: "host", Latest: report.ValuesOf(
		report.Latest{Key: "control_probe_id", Timestamp: report.InstantOf(at), Value: "probe-" + host},
		report.Latest{Key: "host_name", Timestamp: report.InstantOf(at), Value: host},
		report.Latest{Key: "host_scope_version", Timestamp: report.InstantOf(at), Value: "1.13.2"},
	)}}
	r.Topologies[report.Host].Controls = []report.Control{{Key: "host_exec", ID: "host_exec", Human: "Exec", Icon: "fa fa-terminal"}}
	for i := range processes {
		n := &report.Node{ID: fmt.Sprintf("%s;%d", host, i), Topology: "process",
			Latest: report.ValuesOf(report.Latest{Key: "pid", Timestamp: report.InstantOf(at), Value: fmt.Sprint(i)})}
		r.Topologies[report.Process].Nodes = append(r.Topologies[report.Process].Nodes, n)
	}
	return r
}

// write writes a report to a file in a directory, which it creates, and returns the path. The name's ending
// decides the format.
func write(t *testing.T, path string, r *report.Report) string {
	t.Helper()
	data, err := files.Encode(r, files.Ending(path))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
		t.Fatal(err)
	}
	return path
}
