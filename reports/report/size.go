package report

import "unsafe"

// SharedLength is how long a text may be, in bytes, for a decoder to share it
// between nodes. The IDs of containers and of images have 76 and 89 bytes.
const SharedLength = 96

// Size returns about how many bytes of memory a report holds, for caches that
// are bounded by bytes. A nil report holds none.
//
// Size counts every list, and the texts of node IDs, values and set members. It
// counts a key, a name or a label only if it is longer than [SharedLength], since
// a decoder shares shorter ones between nodes. Unused memory behind a list does
// not count. Memory that two reports share counts for each of them. On decoded
// reports the result is right within a factor of 1.5. Size visits each node and
// value, which costs a thirtieth of decoding.
func Size(r *Report) int64 { return measure(r, nodeSize) }

// SizeOfLists is [Size] without the text in nodes. It costs a third of it.
func SizeOfLists(r *Report) int64 { return measure(r, nodeLists) }

func measure(r *Report, node func(*Node) int64) int64 {
	if r == nil {
		return 0
	}
	n := sizeOf(*r) + long(r.ID) + pluginsSize(r.Plugins) + dnsSize(r.DNS) + dnsSize(r.LegacyDNS)
	for k := range r.Topologies {
		n += topologySize(&r.Topologies[k]) + nodesSize(r.Topologies[k].Nodes, node)
	}
	return n
}

// sizeOf returns the size of a value without what it points to.
func sizeOf[E any](e E) int64 { return int64(unsafe.Sizeof(e)) }

// listSize returns the size of a list without what its elements point to.
func listSize[E any](list []E) int64 {
	var e E
	return int64(len(list)) * sizeOf(e)
}

func dnsSize(records []DNSRecord) int64 {
	n := listSize(records)
	for i := range records {
		r := &records[i]
		n += int64(len(r.Address)) + textsSize(r.Forward) + textsSize(r.Reverse)
	}
	return n
}

func textsSize(texts []string) int64 { return listSize(texts) + lengths(texts) }

func lengths(texts []string) int64 {
	n := 0
	for _, s := range texts {
		n += len(s)
	}
	return int64(n)
}

// long returns the length of the texts that are too long to be shared.
func long(texts ...string) int64 {
	n := 0
	for _, s := range texts {
		if len(s) > SharedLength {
			n += len(s)
		}
	}
	return int64(n)
}

func pluginsSize(plugins []PluginSpec) int64 {
	n := listSize(plugins)
	for i := range plugins {
		p := &plugins[i]
		n += textsSize(p.Interfaces) + long(p.ID, p.Label, p.Description, p.APIVersion, p.Status)
	}
	return n
}

func topologySize(t *Topology) int64 {
	n := long(t.Shape, t.Tag, t.Label, t.LabelPlural)
	n += listSize(t.Controls) + listSize(t.MetadataTemplates) + listSize(t.MetricTemplates)
	for i := range t.Controls {
		c := &t.Controls[i]
		n += long(c.Key, c.ID, c.Human, c.Icon, c.Confirmation, c.ProbeID)
	}
	for i := range t.MetadataTemplates {
		m := &t.MetadataTemplates[i]
		n += long(m.Key, m.ID, m.Label, m.DataType, m.From)
	}
	for i := range t.MetricTemplates {
		m := &t.MetricTemplates[i]
		n += long(m.Key, m.ID, m.Label, m.Format, m.Group)
	}
	return n + tablesSize(t.TableTemplates)
}

func tablesSize(tables []TableTemplate) int64 {
	n := listSize(tables)
	for i := range tables {
		t := &tables[i]
		n += long(t.Key, t.ID, t.Label, t.Prefix, t.Type) + listSize(t.Columns) + listSize(t.FixedRows)
		for _, c := range t.Columns {
			n += long(c.ID, c.Label, c.DataType)
		}
		for _, r := range t.FixedRows {
			n += long(r.Key, r.Label)
		}
	}
	return n
}

// nodesSize adds up the sizes of nodes and of their children.
func nodesSize(nodes []*Node, one func(*Node) int64) int64 {
	n := listSize(nodes)
	for _, node := range nodes {
		n += one(node) + nodesSize(node.Children, one)
	}
	return n
}

func nodeSize(n *Node) int64 { return nodeLists(n) + nodeTexts(n) }

func nodeLists(n *Node) int64 {
	size := sizeOf(*n) + listSize(n.Adjacency) + setsLists(n.Sets) + setsLists(n.Parents)
	size += valuesSize(n.Latest) + listSize(n.Metrics)
	for i := range n.Metrics {
		size += listSize(n.Metrics[i].Samples)
	}
	return size
}

// valuesSize counts shared keys for each list of values.
func valuesSize(v Values) int64 {
	if v.keys == nil {
		return 0
	}
	return listSize(v.list) + listSize(v.keys.names) + sizeOf(*v.keys)
}

func setsLists(sets []StringSet) int64 {
	n := listSize(sets)
	for i := range sets {
		n += listSize(sets[i].Values)
	}
	return n
}

func nodeTexts(n *Node) int64 {
	size := int64(len(n.ID)) + long(n.Topology) + lengths(n.Adjacency) + setsTexts(n.Sets) + setsTexts(n.Parents)
	for _, l := range n.Latest.list {
		size += int64(len(l.Value))
	}
	size += long(n.Latest.keys.Names()...)
	for i := range n.Metrics {
		size += long(n.Metrics[i].Key)
	}
	return size
}

func setsTexts(sets []StringSet) int64 {
	n := int64(0)
	for i := range sets {
		n += long(sets[i].Key) + lengths(sets[i].Values)
	}
	return n
}
