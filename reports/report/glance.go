package report

import "unicode/utf8"

// maxGenerations is how deep children of nodes may be nested. Deeper ones could
// not be decoded again.
const maxGenerations = 32

// A glance looks at the names in nodes. Decoding shares most keys with the node before,
// and strings that share their memory are compared at once.
type glance struct {
	home    string // name of the topology
	keys    *Keys  // of latest values
	metrics []Metric
}

func (g *glance) nodes(nodes []*Node, depth int) bool {
	for _, n := range nodes {
		if n == nil || n.ID == "" || depth > maxGenerations || !utf8.ValidString(n.ID) || n.Topology != g.home && !utf8.ValidString(n.Topology) {
			return false
		}
		if !g.values(n) || !areSoundSets(n.Sets) || !areSoundSets(n.Parents) || !g.nodes(n.Children, depth+1) {
			return false
		}
	}
	return true
}

func (g *glance) values(n *Node) bool {
	if keys := n.Latest.keys; keys != nil && keys != g.keys {
		before := g.keys.Names()
		for i, key := range keys.names {
			if (i >= len(before) || key != before[i]) && !utf8.ValidString(key) {
				return false
			}
		}
		g.keys = keys
	}
	for i := range n.Metrics {
		key := n.Metrics[i].Key
		if (i >= len(g.metrics) || key != g.metrics[i].Key) && !utf8.ValidString(key) {
			return false
		}
	}
	g.metrics = n.Metrics
	return true
}

func areSoundSets(sets []StringSet) bool {
	for i := range sets {
		if !utf8.ValidString(sets[i].Key) {
			return false
		}
	}
	return true
}
