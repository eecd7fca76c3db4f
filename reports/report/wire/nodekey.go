package wire

import (
	"strings"

	"github.com/timeblob/timeblob/reports/report"
)

// copyMark stands between the ID and the topology of a node in the key of a
// copy: a node that disagrees with another one of the same ID about the
// topology. No probe gives a node such an ID.
//
//	"<id>"                    a node with the ID
//	"<id>;copy=<topology>"    a node with the ID, if its own fields say that it
//	                          has this topology, and this ID or none
const copyMark = ";copy="

// standUnder gives a decoded node the ID in its key in the map of nodes. The key
// wins over the ID that the node itself has.
func standUnder(n *report.Node, key string) {
	stated := n.ID
	n.ID = key
	if id, ok := unmarked(key, n.Topology); ok && (stated == "" || stated == id) {
		n.ID = id
	}
	n.Unnamed = stated == "" && n.ID != ""
}

// unmarked returns the ID in the key of a copy that has a topology.
func unmarked(key, topology string) (id string, ok bool) {
	key, ok = strings.CutSuffix(key, topology)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(key, copyMark)
}

// keyOf returns the key of a node in the map of nodes. The key of a plain node is
// its ID, with one exception: an unnamed node whose ID looks like the key of a
// copy.
func keyOf(n *report.Node, plain bool) string {
	if plain && n.Unnamed {
		_, looksMarked := unmarked(n.ID, n.Topology)
		plain = !looksMarked
	}
	if plain {
		return n.ID
	}
	return n.ID + copyMark + n.Topology
}

// sameID returns how many nodes at the start of the list have the same ID.
func sameID(nodes []*report.Node) int {
	n := 1
	for n < len(nodes) && nodes[n].ID == nodes[0].ID {
		n++
	}
	return n
}

// plainCopy returns the index of the node that has its ID as its key, among nodes
// of one ID: the node that belongs to the topology home or, if there is none, the
// first node.
func plainCopy(nodes []*report.Node, home string) int {
	for i, n := range nodes {
		if n.EffectiveTopology(home) == home {
			return i
		}
	}
	return 0
}
