package report

import (
	"slices"
	"strings"
)

// LatestOf returns a node's latest value under a key, or the zero value when the
// node has none.
func (n *Node) LatestOf(key string) Latest {
	l, _ := n.Latest.Of(key)
	return l
}

// ParentsIn returns the IDs of a node's parents in a topology. The slice is
// shared: nobody may change it.
func (n *Node) ParentsIn(topology Kind) []string {
	i, ok := slices.BinarySearchFunc(n.Parents, topology.Name(), func(s StringSet, key string) int {
		return strings.Compare(s.Key, key)
	})
	if !ok {
		return nil
	}
	return n.Parents[i].Values
}
