package wire

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/timeblob/timeblob/reports/report"
)

// AppendMsgpack appends the report as msgpack that is not compressed, and
// returns the longer slice.
//
// The form is Scope's: fields in its order, strings in the raw format of the
// old msgpack, times in Go's binary form, in UTC. Equal reports give equal
// bytes. What differs from Scope: a topology whose shape, tag or label is not
// set says so with an empty string, since leaving it out means the default; and
// where nodes of one ID disagree about their topology, one stands under the ID
// (the one of the topology it stands in or, if none is, the one whose topology
// comes first), the others under "<id>;copy=<topology>".
//
// An error means that r is nil, or that nodes are nested deeper than a decoder
// would read.
func AppendMsgpack(dst []byte, r *report.Report) ([]byte, error) {
	return appendReport(dst, r, false)
}

func appendReport(dst []byte, r *report.Report, json bool) ([]byte, error) {
	if r == nil {
		return dst, errors.New("encode report: it is nil")
	}
	e := encoder{dst: dst, json: json, start: len(dst)}
	e.report(r)
	if e.err != nil {
		return dst, fmt.Errorf("encode report: %w", e.err)
	}
	return e.dst, nil
}

func (e *encoder) report(r *report.Report) {
	o := e.object(true)
	o.field("TS").instant(report.InstantOf(r.TS))
	for k := range r.Topologies {
		o.field(report.Kind(k).Wire()).topology(&r.Topologies[k], report.Kind(k))
	}
	for one := range entries(o, "DNS", r.DNS) {
		o.dnsRecord(one)
	}
	for one := range entries(o, "nodes", r.LegacyDNS) {
		o.dnsRecord(one)
	}
	o.field("Sampling").sampling(r.Sampling)
	o.field("Window").integer(int64(r.Window))
	o.field("Shortcut").bool(r.Shortcut)
	o.field("Plugins").plugins(r.Plugins)
	o.field("ID").text(r.ID)
	o.pad(r)
	o.close()
}

// pad writes a field that makes the report longer, if it is too short to be
// decoded: a report may hold many empty values under short keys, which take more
// memory than decoding allows for so few bytes. No captured report needs that.
// Decoders skip the field.
func (o object) pad(r *report.Report) {
	length := len(o.dst) - o.start
	if o.json {
		length /= shrinks
	}
	if int64(o.elements)*mostElement+int64(o.nodes)*nodeCost <= memoryLimit(length) {
		return // surely
	}
	needed := int((report.SizeOfLists(r) + int64(o.nodes)*int64(placeSize) - memoryFree) / memoryFactor)
	if length < needed && o.json {
		bare := encoder{bare: true}
		bare.report(r)
		length = len(bare.dst) / 2 // in JSON a number may be shorter than in msgpack
	}
	if length < needed && !o.bare {
		o.field("Padding").text(strings.Repeat("x", needed-length))
	}
}

// shrinks is how many times as long JSON may be as the msgpack that it becomes.
const shrinks = 6

// What an element of a list takes at most once it is decoded, in bytes, and a
// node.
const (
	mostElement = int64(unsafe.Sizeof(report.TableTemplate{}))
	nodeCost    = int64(placeSize + unsafe.Sizeof(report.Node{}))
)

func (e *encoder) sampling(s report.Sampling) {
	o := e.object(false)
	o.field("Count").unsigned(s.Count)
	o.field("Total").unsigned(s.Total)
	o.close()
}

func (e *encoder) dnsRecord(r *report.DNSRecord) {
	o := e.entry(r.Address)
	o.texts("forward", r.Forward)
	o.texts("reverse", r.Reverse)
	o.close()
}

func (e *encoder) plugins(plugins []report.PluginSpec) {
	e.openList(len(plugins))
	for i := range plugins {
		e.element()
		e.plugin(&plugins[i])
	}
	e.closeList()
}

func (e *encoder) plugin(p *report.PluginSpec) {
	o := e.object(false)
	o.optional("api_version", p.APIVersion)
	o.optional("description", p.Description)
	o.field("id").text(p.ID)
	o.field("interfaces").list(p.Interfaces)
	o.field("label").text(p.Label)
	o.optional("status", p.Status)
	o.close()
}

func (e *encoder) topology(t *report.Topology, k report.Kind) {
	usual := k.Defaults()
	o := e.object(false)
	o.unless("shape", t.Shape, usual.Shape)
	o.unless("tag", t.Tag, usual.Tag)
	o.unless("label", t.Label, usual.Label)
	o.unless("label_plural", t.LabelPlural, usual.LabelPlural)
	if len(t.Nodes) > 0 {
		o.field("nodes").nodeMap(t.Nodes, k.Name())
	}
	for one := range entries(o, "controls", t.Controls) {
		o.control(one)
	}
	o.templates(t)
	o.close()
}

func (o object) templates(t *report.Topology) {
	for one := range entries(o, "metadata_templates", t.MetadataTemplates) {
		o.metadataTemplate(one)
	}
	for one := range entries(o, "metric_templates", t.MetricTemplates) {
		o.metricTemplate(one)
	}
	for one := range entries(o, "table_templates", t.TableTemplates) {
		o.tableTemplate(one)
	}
}

func (e *encoder) control(c *report.Control) {
	o := e.entry(c.Key)
	o.field("id").text(c.ID)
	o.field("human").text(c.Human)
	o.field("icon").text(c.Icon)
	o.optional("confirmation", c.Confirmation)
	o.field("rank").integer(int64(c.Rank))
	o.optional("probeId", c.ProbeID)
	o.close()
}

func (e *encoder) metadataTemplate(m *report.MetadataTemplate) {
	o := e.entry(m.Key)
	o.field("id").text(m.ID)
	o.optional("label", m.Label)
	if m.Truncate != 0 {
		o.field("truncate").integer(int64(m.Truncate))
	}
	o.optional("dataType", m.DataType)
	o.number("priority", m.Priority)
	o.optional("from", m.From)
	o.close()
}

func (e *encoder) metricTemplate(m *report.MetricTemplate) {
	o := e.entry(m.Key)
	o.field("id").text(m.ID)
	o.optional("label", m.Label)
	o.optional("format", m.Format)
	o.optional("group", m.Group)
	o.number("priority", m.Priority)
	o.close()
}

func (e *encoder) tableTemplate(t *report.TableTemplate) {
	o := e.entry(t.Key)
	o.field("id").text(t.ID)
	o.field("label").text(t.Label)
	o.field("prefix").text(t.Prefix)
	o.field("type").text(t.Type)
	o.field("columns").columns(t.Columns)
	o.field("fixedRows").fixedRows(t.FixedRows)
	o.close()
}

func (e *encoder) columns(columns []report.Column) {
	if len(columns) == 0 {
		e.null()
		return
	}
	e.openList(len(columns))
	for i := range columns {
		e.element()
		o := e.object(false)
		o.field("id").text(columns[i].ID)
		o.field("label").text(columns[i].Label)
		o.field("dataType").text(columns[i].DataType)
		o.close()
	}
	e.closeList()
}

func (e *encoder) fixedRows(rows []report.FixedRow) {
	e.openMap(len(rows))
	for i := range rows {
		e.key(rows[i].Key)
		e.text(rows[i].Label)
	}
	e.closeMap()
}
