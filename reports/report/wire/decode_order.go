package wire

import (
	"cmp"
	"slices"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/internal/sorted"
)

// popNodes returns the nodes on the stack from base on, in order, and takes them
// off. Of nodes of one identity the last counts.
func (d *decoder) popNodes(base int) []*report.Node {
	read := d.nodeStack[base:]
	if len(read) == 0 {
		return nil
	}
	nodes := make([]*report.Node, len(read))
	if !d.placeNodes(nodes, read) {
		copy(nodes, read)
		nodes = sorted.Unique(nodes, func(a, b **report.Node) int { return (*a).Compare(*b, d.home) })
	}
	clear(read)
	d.nodeStack = d.nodeStack[:base]
	return nodes
}

// placeNodes fills nodes with what was read, in order. It returns false when two
// nodes have the same ID.
func (d *decoder) placeNodes(nodes, read []*report.Node) bool {
	if ascend(read) { // as in reports that this package wrote
		copy(nodes, read)
		return true
	}
	common := commonPrefix(read)
	d.places = slices.Grow(d.places[:0], 2*len(read))[:2*len(read)]
	places, scratch := d.places[:len(read)], d.places[len(read):]
	for i, n := range read {
		places[i] = place{sorted.Prefix(n.ID[common:]), i}
	}
	places = sortPlaces(places, scratch)
	for rest := places; len(rest) > 0; {
		same := samePrefix(rest)
		if same > 1 {
			slices.SortFunc(rest[:same], func(a, b place) int { return cmp.Compare(read[a.node].ID, read[b.node].ID) })
		}
		for i := 1; i < same; i++ {
			if read[rest[i-1].node].ID == read[rest[i].node].ID {
				return false
			}
		}
		rest = rest[same:]
	}
	if len(nodes) >= manyNodes {
		copy(nodes, read)
		arrange(nodes, places)
		return true
	}
	for i, p := range places {
		nodes[i] = read[p.node]
	}
	return true
}

// manyNodes is the least number of nodes that are arranged. Fewer nodes fit into near
// caches, so their order does not matter.
const manyNodes = 256

// arrange moves nodes within their memory into the order of places. Merges and
// encoders, which read them in this order, then wait less for memory.
func arrange(nodes []*report.Node, places []place) {
	for i := range places {
		if places[i].node == i {
			continue
		}
		first := *nodes[i]
		for at := i; ; {
			from := places[at].node
			places[at].node = at
			if from == i {
				*nodes[at] = first
				break
			}
			*nodes[at] = *nodes[from]
			at = from
		}
	}
}

// ascend reports whether the nodes are in the order of their IDs, and no two have
// the same.
func ascend(nodes []*report.Node) bool {
	for i := 1; i < len(nodes); i++ {
		if nodes[i-1].ID >= nodes[i].ID {
			return false
		}
	}
	return true
}

// samePrefix returns how many places at the start of the list have the same prefix.
func samePrefix(places []place) int {
	n := 1
	for n < len(places) && places[n].prefix == places[0].prefix {
		n++
	}
	return n
}

// fewPlaces is how many places are sorted by comparing them.
const fewPlaces = 200

// sortPlaces sorts places by their prefixes: many of them byte by byte, the last
// byte first. It returns the sorted list, which is in the memory of one of the two
// that it is given. Both are as long.
func sortPlaces(places, scratch []place) []place {
	if len(places) <= fewPlaces {
		slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.prefix, b.prefix) })
		return places
	}
	var differ uint64 // the bits that are not the same in all
	for _, p := range places {
		differ |= p.prefix ^ places[0].prefix
	}
	for shift := 0; shift < 64; shift += 8 {
		if differ>>shift&0xff == 0 {
			continue
		}
		var ends [256]int
		for _, p := range places {
			ends[byte(p.prefix>>shift)]++
		}
		n := 0
		for b := range ends {
			n, ends[b] = n+ends[b], n
		}
		for _, p := range places {
			b := byte(p.prefix >> shift)
			scratch[ends[b]] = p
			ends[b]++
		}
		places, scratch = scratch, places
	}
	return places
}

// commonPrefix returns how many bytes the IDs of all nodes begin with.
func commonPrefix(nodes []*report.Node) int {
	first := nodes[0].ID
	common := len(first)
	for _, n := range nodes[1:] {
		common = sorted.Common(first[:common], n.ID)
	}
	return common
}
