package wire

import (
	"cmp"
	"slices"
	"unsafe"

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

// placeSize is how many bytes it takes to put a node in its place, besides the
// node: in the list, on the stack and among the places.
const placeSize = unsafe.Sizeof((*report.Node)(nil)) + 2*unsafe.Sizeof((*report.Node)(nil)) + unsafe.Sizeof(place{})

// A place says where a node belongs. It holds no pointer, so that places are
// sorted without the garbage collector's taking part.
type place struct {
	prefix uint64 // of the part of the ID in which the nodes differ
	node   int
}

// placeNodes fills nodes with what was read, in order. It returns false when two
// nodes have the same ID.
func (d *decoder) placeNodes(nodes, read []*report.Node) bool {
	common := commonPrefix(read)
	d.places = slices.Grow(d.places[:0], len(read))[:len(read)]
	for i, n := range read {
		d.places[i] = place{sorted.Prefix(n.ID[common:]), i}
	}
	slices.SortFunc(d.places, func(a, b place) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return cmp.Compare(read[a.node].ID, read[b.node].ID)
	})
	for i, p := range d.places {
		nodes[i] = read[p.node]
		if i > 0 && nodes[i].ID == nodes[i-1].ID {
			return false
		}
	}
	return true
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
