package wire

import (
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/internal/sorted"
)

// nodeMap reads the nodes of a topology.
func (d *decoder) nodeMap() []*report.Node {
	base, count := len(d.nodeStack), d.openMap()
	for range d.spend(count, placeSize) {
		key := d.text()
		if d.err != nil {
			return nil
		}
		n := d.node(key)
		if d.err != nil {
			d.within("[%.64q]", key)
			return nil
		}
		standUnder(n, key)
		d.nodeStack = append(d.nodeStack, n)
	}
	d.depth--
	return d.popNodes(base)
}

// children reads the nodes within a node. They have no keys.
func (d *decoder) children() []*report.Node {
	if d.null() {
		return nil
	}
	base, count := len(d.nodeStack), d.openList()
	for i := range d.spend(count, placeSize) {
		n := d.node("")
		if d.err != nil {
			d.within("[%d]", i)
			return nil
		}
		d.nodeStack = append(d.nodeStack, n)
	}
	d.depth--
	return d.popNodes(base)
}

// node reads a node that stands under key. After a failure to get memory for it
// it is nil.
func (d *decoder) node(key string) *report.Node {
	one := d.nodes.take(d, 1)
	if one == nil {
		return nil
	}
	n, old := &one[0], oldForms{}
	for range d.openMap() {
		name := d.raw()
		if d.err != nil {
			return nil
		}
		switch string(name) {
		case "id":
			n.ID = d.textLike(key)
		case "topology":
			n.Topology = d.textLike(d.home)
		default:
			d.nodeField(n, name, &old)
		}
		if d.err != nil {
			d.within(".%s", printable(name))
			return nil
		}
	}
	d.depth--
	old.upgrade(d, n)
	return n
}

func (d *decoder) nodeField(n *report.Node, name []byte, old *oldForms) {
	switch string(name) {
	case "sets":
		n.Sets = d.stringSets()
	case "adjacency":
		n.Adjacency = d.set()
	case "latest":
		n.Latest = d.latestMap()
	case "metrics":
		n.Metrics = d.metricMap()
	case "parents":
		n.Parents = d.stringSets()
	case "children":
		n.Children = d.children()
	case "latestControls":
		d.foreign = true
		old.controls = keyed(d, nil, (*decoder).oldControl, orderOldControls)
	case "counters":
		d.foreign = true
		old.counters = keyed(d, nil, (*decoder).oldCounter, (*report.Latest).Compare)
	default:
		d.skip()
	}
}

func (d *decoder) stringSets() []report.StringSet {
	if d.null() {
		return nil
	}
	return keyed(d, &d.sets, (*decoder).stringSet, (*report.StringSet).Compare)
}

func (d *decoder) stringSet(key string, s *report.StringSet) { s.Key, s.Values = key, d.set() }

// oldForms holds what old probes say in other words.
type oldForms struct {
	controls []oldControl
	counters []report.Latest // Timestamp is untimed
}

// oldControl is a control of a node, which it had until a time if it is dead.
type oldControl struct {
	name string
	at   report.Instant
	dead bool
}

func orderOldControls(a, b *oldControl) int { return strings.Compare(a.name, b.name) }

func (d *decoder) oldControl(name string, c *oldControl) {
	c.name = name
	for field := range d.fields {
		switch string(field) {
		case "timestamp":
			c.at = d.instant()
		case "value":
			c.dead = d.dead()
		default:
			d.skip()
		}
	}
}

func (d *decoder) dead() (dead bool) {
	for field := range d.fields {
		switch string(field) {
		case "dead":
			dead = d.bool()
		default:
			d.skip()
		}
	}
	return dead
}

const counterPrefix = "count_"

// untimed stands for the time of the report, until that is known. No time that is read
// equals it.
var untimed = report.Instant{Nanos: -1}

func (d *decoder) oldCounter(name string, l *report.Latest) {
	l.Key, l.Timestamp, l.Value = counterPrefix+name, untimed, strconv.FormatInt(d.integer(), 10)
}

// upgrade adds the old forms to the latest values of n.
func (o *oldForms) upgrade(d *decoder, n *report.Node) {
	added := o.counters
	d.counted = d.counted || len(added) > 0
	if d.spend(len(o.controls), 2*unsafe.Sizeof("")) > 0 {
		added = append(added, liveControls(o.controls))
	}
	if len(added) > 0 && d.spend(n.Latest.Len()+len(added), unsafe.Sizeof(report.Latest{})) > 0 {
		all := slices.AppendSeq(make([]report.Latest, 0, n.Latest.Len()+len(added)), n.Latest.All())
		n.Latest = report.ValuesOf(sorted.Unique(append(all, added...), (*report.Latest).Compare)...)
	}
}

// liveControls joins the names of the controls that are not dead, as of the
// newest of them. If all are dead it is the empty list at the zero time, as in
// Scope, so that any other list wins over it.
func liveControls(controls []oldControl) report.Latest {
	var names []string
	l := report.Latest{Key: "active_controls"}
	for _, c := range controls {
		if c.dead {
			continue
		}
		names = append(names, c.name)
		if c.at.Compare(l.Timestamp) > 0 {
			l.Timestamp = c.at
		}
	}
	l.Value = strings.Join(names, ";")
	return l
}

// stampCounters gives the counters of old probes the time of the report: they
// came without one.
func (d *decoder) stampCounters(r *report.Report) {
	if !d.counted {
		return
	}
	for k := range r.Topologies {
		stampNodes(r.Topologies[k].Nodes, report.InstantOf(r.TS))
	}
}

func stampNodes(nodes []*report.Node, at report.Instant) {
	for _, n := range nodes {
		stamped := n.Latest.Stamped() // nobody else has it yet
		for i := range stamped {
			if stamped[i].Timestamp == untimed {
				stamped[i].Timestamp = at
			}
		}
		n.Latest = report.ValuesUnder(n.Latest.Keys(), stamped)
		stampNodes(n.Children, at)
	}
}
