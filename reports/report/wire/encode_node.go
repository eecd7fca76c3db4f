package wire

import (
	"github.com/timeblob/timeblob/reports/report"
)

// nodeMap writes the nodes of the topology named home.
func (e *encoder) nodeMap(nodes []*report.Node, home string) {
	e.openMap(len(nodes))
	for len(nodes) > 0 {
		copies := sameID(nodes)
		e.copies(nodes[:copies], home)
		nodes = nodes[copies:]
	}
	e.closeMap()
}

// copies writes nodes of one ID.
func (e *encoder) copies(nodes []*report.Node, home string) {
	plain := plainCopy(nodes, home)
	for i, n := range nodes {
		e.key(keyOf(n, i == plain))
		e.node(n)
	}
}

func (e *encoder) children(nodes []*report.Node) {
	if len(nodes) == 0 {
		e.null()
		return
	}
	e.openList(len(nodes))
	for _, n := range nodes {
		e.element()
		e.node(n)
	}
	e.closeList()
}

func (e *encoder) node(n *report.Node) {
	if !e.json && e.depth+packedDepth <= maxDepth {
		e.packNode(n)
		return
	}
	e.nodes++
	o := e.object(false)
	if !n.Unnamed {
		o.field("id").text(n.ID)
	}
	o.optional("topology", n.Topology)
	o.field("sets").stringSets(n.Sets)
	o.texts("adjacency", n.Adjacency)
	if n.Latest.Len() > 0 {
		o.field("latest").latest(n.Latest)
	}
	if len(n.Metrics) > 0 {
		o.field("metrics").metrics(n.Metrics)
	}
	o.field("parents").stringSets(n.Parents)
	o.field("children").children(n.Children)
	o.close()
}

func (e *encoder) stringSets(sets []report.StringSet) {
	if len(sets) == 0 {
		e.null()
		return
	}
	e.openMap(len(sets))
	for i := range sets {
		e.key(sets[i].Key)
		e.list(sets[i].Values)
	}
	e.closeMap()
}

func (e *encoder) latest(values report.Values) {
	e.openMap(values.Len())
	for l := range values.All() {
		e.key(l.Key)
		o := e.object(false)
		o.field("timestamp").instant(l.Timestamp)
		o.field("value").text(l.Value)
		o.close()
	}
	e.closeMap()
}

func (e *encoder) metrics(metrics []report.Metric) {
	e.openMap(len(metrics))
	for i := range metrics {
		m := &metrics[i]
		e.key(m.Key)
		o := e.object(false)
		if len(m.Samples) > 0 {
			o.field("samples").samples(m.Samples)
		}
		o.field("min").float(m.Min)
		o.field("max").float(m.Max)
		o.close()
	}
	e.closeMap()
}

func (e *encoder) samples(samples []report.Sample) {
	e.openList(len(samples))
	for i := range samples {
		e.element()
		o := e.object(false)
		o.field("date").instant(samples[i].Date)
		o.field("value").float(samples[i].Value)
		o.close()
	}
	e.closeList()
}

// packNode writes a node as msgpack, as [encoder.node] does. Most of a report is nodes:
// the names of their fields stand in constants, so that a node takes a third less
// time.
func (e *encoder) packNode(n *report.Node) {
	e.nodes++
	dst := append(e.dst, mpFixMap|packedFields(n))
	if !n.Unnamed {
		dst = appendRaw(append(dst, "\xa2id"...), n.ID)
	}
	if n.Topology != "" {
		dst = appendRaw(append(dst, "\xa8topology"...), n.Topology)
	}
	dst = e.packSets(append(dst, "\xa4sets"...), n.Sets)
	if len(n.Adjacency) > 0 {
		dst = e.packTexts(append(dst, "\xa9adjacency"...), n.Adjacency)
	}
	if n.Latest.Len() > 0 {
		dst = e.packLatest(append(dst, "\xa6latest"...), n.Latest)
	}
	if len(n.Metrics) > 0 {
		dst = e.packMetrics(append(dst, "\xa7metrics"...), n.Metrics)
	}
	dst = e.packSets(append(dst, "\xa7parents"...), n.Parents)
	e.dst = append(dst, "\xa8children"...)
	e.depth++
	e.children(n.Children)
	e.depth--
}

// packedFields returns how many fields a node has when it is written.
func packedFields(n *report.Node) byte {
	fields := byte(3) // sets, parents and children are never left out
	for _, there := range [...]bool{!n.Unnamed, n.Topology != "", len(n.Adjacency) > 0, n.Latest.Len() > 0, len(n.Metrics) > 0} {
		if there {
			fields++
		}
	}
	return fields
}

// packedDepth is how many levels of maps and lists a node takes, apart from its
// children: the node, its metrics, a metric, its samples, and a sample.
const packedDepth = 5
