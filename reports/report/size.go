package report

import "unsafe"

// Size returns about how many bytes of memory a report holds, for caches that
// are bounded by bytes. A nil report holds none.
//
// It counts every list, and the text of node IDs, of values and of set members;
// not that of keys and of topologies, which a decoder shares between nodes.
// Lists are counted by their length, so what a chunk of memory has left over
// does not count, and what two reports share counts for each of them. On decoded
// reports it is right within a factor of 1.5. It visits each node and value,
// which costs a fiftieth of decoding.
func Size(r *Report) int64 {
	if r == nil {
		return 0
	}
	n := sizeOf(*r) + listSize(r.Plugins) + dnsSize(r.DNS) + dnsSize(r.LegacyDNS)
	for k := range r.Topologies {
		n += topologySize(&r.Topologies[k])
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

func textsSize(texts []string) int64 {
	n := listSize(texts)
	for _, s := range texts {
		n += int64(len(s))
	}
	return n
}

func topologySize(t *Topology) int64 {
	n := listSize(t.Controls) + listSize(t.MetadataTemplates) + listSize(t.MetricTemplates) + listSize(t.TableTemplates)
	for i := range t.TableTemplates {
		n += listSize(t.TableTemplates[i].Columns) + listSize(t.TableTemplates[i].FixedRows)
	}
	return n + nodesSize(t.Nodes)
}

func nodesSize(nodes []*Node) int64 {
	n := listSize(nodes)
	for _, node := range nodes {
		n += nodeSize(node)
	}
	return n
}

func nodeSize(n *Node) int64 {
	size := sizeOf(*n) + int64(len(n.ID)) + textsSize(n.Adjacency) + setsSize(n.Sets) + setsSize(n.Parents)
	size += listSize(n.Latest) + listSize(n.Metrics)
	for i := range n.Latest {
		size += int64(len(n.Latest[i].Value))
	}
	for i := range n.Metrics {
		size += listSize(n.Metrics[i].Samples)
	}
	return size + nodesSize(n.Children)
}

func setsSize(sets []StringSet) int64 {
	n := listSize(sets)
	for i := range sets {
		n += textsSize(sets[i].Values)
	}
	return n
}
