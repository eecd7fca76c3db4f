package reports

import (
	"slices"
	"strings"

	"github.com/timeblob/timeblob/reports/report"
)

// latest returns a node's latest value under a key; the zero value when it has
// none.
func latest(n *report.Node, key string) report.Latest {
	i, ok := slices.BinarySearchFunc(n.Latest, key, func(l report.Latest, key string) int {
		return strings.Compare(l.Key, key)
	})
	if !ok {
		return report.Latest{}
	}
	return n.Latest[i]
}

// parents returns the IDs of a node's parents in a topology.
func parents(n *report.Node, in report.Kind) []string {
	i, ok := slices.BinarySearchFunc(n.Parents, in.Name(), func(s report.StringSet, key string) int {
		return strings.Compare(s.Key, key)
	})
	if !ok {
		return nil
	}
	return n.Parents[i].Values
}
