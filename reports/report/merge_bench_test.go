package report_test

import (
	"fmt"
	"testing"

	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// corpus returns the upgraded reports of files that match a pattern.
func corpus(t testing.TB, pattern string) []*report.Report {
	t.Helper()
	var list []*report.Report
	for _, file := range goldentest.Files(t, pattern) {
		r, err := wire.DecodeMsgpack(goldentest.Inflate(t, file))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		list = append(list, upgrade(t, r))
	}
	return list
}

// fleet makes a report for each of so many hosts, as one of their probes would:
// 20 endpoints and 10 processes of its own, and one endpoint that all talk to.
func fleet(hosts int) []*report.Report {
	var list []*report.Report
	for h := range hosts {
		r := withNodes(report.Host, host(fmt.Sprintf("host-%03d;<host>", h), latest("host_name", int64(h), "x")))
		r.ID = fmt.Sprint(h)
		shared := &report.Node{ID: ";10.0.0.1;5432", Topology: "endpoint", Latest: report.ValuesOf(latest("pid", int64(h), "1"))}
		r.Topologies[report.Endpoint].Nodes = []*report.Node{shared}
		for i := range 20 {
			id := fmt.Sprintf(";10.%d.1.%d;4%02d", h, i, i)
			r.Topologies[report.Endpoint].Nodes = append(nodesOf(r, report.Endpoint),
				&report.Node{ID: id, Topology: "endpoint", Adjacency: []string{shared.ID}, Latest: report.ValuesOf(latest("pid", int64(h), "2"))})
		}
		for i := range 10 {
			p := host(fmt.Sprintf("host-%03d;%d", h, 100+i), latest("cmdline", int64(h), "x"))
			p.Topology = "process"
			r.Topologies[report.Process].Nodes = append(nodesOf(r, report.Process), p)
		}
		list = append(list, r)
	}
	return list
}

func benchmarkMerge(b *testing.B, parts []*report.Report) {
	b.ReportAllocs()
	nodes := 0
	for _, p := range parts {
		for k := range p.Topologies {
			nodes += len(p.Topologies[k].Nodes)
		}
	}
	for b.Loop() {
		if _, err := report.Merge(parts); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(nodes), "ns/node")
}

func BenchmarkMergeK8sNode(b *testing.B) { benchmarkMerge(b, corpus(b, "k8s-node/*.msgpack.gz")) }
func BenchmarkMergeHosts(b *testing.B)   { benchmarkMerge(b, corpus(b, "hosts/*/*.msgpack.gz")) }
func BenchmarkMergeFleet(b *testing.B)   { benchmarkMerge(b, fleet(100)) }

// BenchmarkMergeSame merges reports that say the same: all is shared.
func BenchmarkMergeSame(b *testing.B) {
	one := corpus(b, "k8s-node/*.msgpack.gz")[0]
	benchmarkMerge(b, []*report.Report{one, one, one, one, one})
}

// BenchmarkMergeDay merges up to an hour of reports of one node at once: 20 captured
// ones over and over, each time a minute later. The time per report must not grow
// with their number.
func BenchmarkMergeDay(b *testing.B) {
	for _, n := range []int{75, 300, 1200} {
		b.Run(fmt.Sprint("reports=", n), func(b *testing.B) {
			var parts []*report.Report
			for len(parts) < n {
				for _, r := range corpus(b, "hosts/db-1/*.msgpack.gz") {
					parts = append(parts, later(r, int64(len(parts)/20)*60))
				}
			}
			parts = parts[:n]
			b.ReportAllocs()
			for b.Loop() {
				merge(b, parts...)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/report")
		})
	}
}

// later moves the values and samples of a report, which nobody shares yet, by so many
// seconds.
func later(r *report.Report, seconds int64) *report.Report {
	for k := range r.Topologies {
		for _, n := range r.Topologies[k].Nodes {
			var moved []report.Latest
			for l := range n.Latest.All() {
				l.Timestamp.Seconds += seconds
				moved = append(moved, l)
			}
			n.Latest = report.ValuesOf(moved...)
			for i := range n.Metrics {
				for j := range n.Metrics[i].Samples {
					n.Metrics[i].Samples[j].Date.Seconds += seconds
				}
			}
		}
	}
	return r
}

// BenchmarkMergePairwise adds one report after the other to a growing merge, as
// a collector does within a tick.
func BenchmarkMergePairwise(b *testing.B) {
	for name, parts := range map[string][]*report.Report{"k8s-node": corpus(b, "k8s-node/*.msgpack.gz"), "fleet": fleet(100)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				merged := report.New()
				for _, p := range parts {
					merged = merge(b, merged, p)
				}
			}
			b.ReportMetric(float64(len(parts)), "merges/op")
		})
	}
}

func BenchmarkUpgrade(b *testing.B) {
	r := corpus(b, "k8s-node/*.msgpack.gz")[0]
	b.ReportAllocs()
	for b.Loop() {
		upgrade(b, r)
	}
}
