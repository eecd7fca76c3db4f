package view

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// maxHosts is the largest number of hosts that a view lists.
const maxHosts = 40

// Fact is a line of a view: a name and a value.
type Fact struct{ Name, Value string }

// Write shows a report to a person: the given facts, facts about the report, its hosts and its topologies.
func Write(w io.Writer, title string, r *report.Report, facts ...Fact) error {
	var b strings.Builder
	if title != "" {
		b.WriteString(title + "\n")
	}
	t := terminal.Table{Indent: 2}
	for _, f := range append(facts, reportFacts(r)...) {
		t.Row(f.Name, f.Value)
	}
	t.Write(&b)
	writeTable(&b, hostTable(r))
	writeTable(&b, topologyTable(r))
	_, err := io.WriteString(w, b.String())
	return err
}

// writeTable writes a table after an empty line, unless the table has only a head.
func writeTable(b *strings.Builder, t *terminal.Table) {
	if len(t.Rows) > 1 {
		b.WriteByte('\n')
		t.Write(b)
	}
}

func reportFacts(r *report.Report) []Fact {
	return []Fact{
		{"time", human.Time(r.TS)},
		{"id", orDash(r.ID)},
		{"window", human.Duration(r.Window)},
		{"sampling", fmt.Sprintf("%d of %d", r.Sampling.Count, r.Sampling.Total)},
		{"shortcut", yesNo(r.Shortcut)},
		{"plugins", pluginNames(r)},
		{"dns", human.Plural(len(r.DNS)+len(r.LegacyDNS), "record")},
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func pluginNames(r *report.Report) string {
	names := make([]string, len(r.Plugins))
	for i, p := range r.Plugins {
		names[i] = p.ID
	}
	return orDash(strings.Join(names, ", "))
}

// topologyTable counts the nodes of the topologies that are not empty.
func topologyTable(r *report.Report) *terminal.Table {
	t := &terminal.Table{Indent: 2, Head: true}
	t.Row("TOPOLOGY", "NODES", "CONTROLS", "METADATA", "METRICS", "TABLES")
	for k := range r.Topologies {
		s := &r.Topologies[k]
		counts := []int{len(s.Nodes), len(s.Controls), len(s.MetadataTemplates), len(s.MetricTemplates), len(s.TableTemplates)}
		cells, total := []string{report.Kind(k).Name()}, 0
		for _, n := range counts {
			cells, total = append(cells, strconv.Itoa(n)), total+n
		}
		if total > 0 {
			t.Row(cells...)
		}
	}
	return t
}

// hostTable lists the hosts and their probes.
func hostTable(r *report.Report) *terminal.Table {
	t := &terminal.Table{Indent: 2, Head: true}
	t.Row("HOST", "VERSION", "PROBE", "SEEN")
	hosts := r.Topologies[report.Host].Nodes
	for _, n := range hosts[:min(len(hosts), maxHosts)] {
		name, seen := latest(n, "host_name")
		version, _ := latest(n, "host_scope_version")
		probe, _ := latest(n, "control_probe_id")
		if name == "" {
			name = n.ID
		}
		t.Row(name, orDash(version), orDash(probe), human.Time(seen))
	}
	if more := len(hosts) - maxHosts; more > 0 {
		t.Row(fmt.Sprintf("and %d more", more), "", "", "")
	}
	return t
}

// latest returns a node's latest value under a key, and its time.
func latest(n *report.Node, key string) (string, time.Time) {
	l := n.LatestOf(key)
	return l.Value, l.Timestamp.Time()
}

// WriteJSON writes a report as one line of JSON.
func WriteJSON(w io.Writer, r *report.Report) error {
	text, err := wire.AppendJSON(nil, r)
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}
