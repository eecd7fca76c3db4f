package wire

import (
	"strings"

	"github.com/timeblob/timeblob/reports/report"
)

// copyMark stands between the ID and the topology of a node in the key of a
// copy: a node that disagrees with another one of the same ID about the
// topology. No probe gives a node such an ID.
//
//	"<id>"                    a node of that ID
//	"<id>;copy=<topology>"    a node of that ID, if it says of itself that it is
//	                          of that topology, and of that ID or of none
const copyMark = ";copy="

// standUnder gives a node that was read the ID that its key in the map of nodes
// tells. The ID that the node gives itself does not count beside it.
func standUnder(n *report.Node, key string) {
	stated := n.ID
	n.ID = key
	if id, ok := unmarked(key, n.Topology); ok && (stated == "" || stated == id) {
		n.ID = id
	}
	n.Unnamed = stated == "" && n.ID != ""
}

// unmarked returns the ID in the key of a copy that is of a topology.
func unmarked(key, topology string) (id string, ok bool) {
	key, ok = strings.CutSuffix(key, topology)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(key, copyMark)
}

// keyOf returns the key of a node in the map of nodes. The node goes by its ID
// if it is plain, unless it has nothing but the key to tell the ID, and that
// looks like the key of a copy.
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

// sameID returns how many nodes at the head of the list have one ID.
func sameID(nodes []*report.Node) int {
	n := 1
	for n < len(nodes) && nodes[n].ID == nodes[0].ID {
		n++
	}
	return n
}

// plainCopy returns which of the nodes of one ID stands under it: the one of
// the topology that it stands in or, if there is none, the first.
func plainCopy(nodes []*report.Node, home string) int {
	for i, n := range nodes {
		if n.EffectiveTopology(home) == home {
			return i
		}
	}
	return 0
}
