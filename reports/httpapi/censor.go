package httpapi

import (
	"slices"
	"strings"

	"github.com/timeblob/timeblob/reports/report"
)

// censorParams are the parameters that leave out possible secrets.
var censorParams = []string{"hideCommandLineArguments", "hideEnvironmentVariables"}

// censor says what to leave out of a report.
type censor struct{ arguments, environment bool }

// censor reads the parameters.
func (p params) censor() (c censor, err error) {
	if c.arguments, err = p.flag("hideCommandLineArguments"); err != nil {
		return c, err
	}
	c.environment, err = p.flag("hideEnvironmentVariables")
	return c, err
}

// of returns r without the censored values of its nodes and their children. It
// does not change r, and shares with r the nodes that need no change.
func (c censor) of(r *report.Report) *report.Report {
	if !c.arguments && !c.environment {
		return r
	}
	censored := *r
	for k := range censored.Topologies {
		t := &censored.Topologies[k]
		t.Nodes = mapNodes(t.Nodes, c.node)
	}
	return &censored
}

// mapNodes applies f to nodes. It returns nodes itself if f changes none.
func mapNodes(nodes []*report.Node, f func(*report.Node) *report.Node) []*report.Node {
	var mapped []*report.Node
	for i, n := range nodes {
		m := f(n)
		if m != n && mapped == nil {
			mapped = slices.Clone(nodes)
		}
		if mapped != nil {
			mapped[i] = m
		}
	}
	if mapped == nil {
		return nodes
	}
	return mapped
}

// node returns n without the censored values, or n itself if there are none. Its
// recursion is bounded, since decoding bounds how deep children are nested.
func (c censor) node(n *report.Node) *report.Node {
	children := mapNodes(n.Children, c.node)
	sameChildren := len(children) == 0 || &children[0] == &n.Children[0]
	if sameChildren && !c.touchesAny(n.Latest) {
		return n
	}
	censored := *n
	censored.Children = children
	left := make([]report.Latest, 0, n.Latest.Len())
	for l := range n.Latest.All() {
		if !c.drops(l) {
			left = append(left, c.cut(l))
		}
	}
	censored.Latest = report.ValuesOf(left...)
	return &censored
}

// touchesAny reports whether a value is to be left out or cut.
func (c censor) touchesAny(values report.Values) bool {
	for l := range values.All() {
		if c.drops(l) || c.cut(l) != l {
			return true
		}
	}
	return false
}

// drops reports whether a value is a censored environment variable.
func (c censor) drops(l report.Latest) bool {
	return c.environment && strings.HasPrefix(l.Key, "docker_env_")
}

// cut returns the value without the arguments of a command line, which begin at
// the first space.
func (c censor) cut(l report.Latest) report.Latest {
	if c.arguments && (l.Key == "cmdline" || l.Key == "docker_container_command") {
		l.Value, _, _ = strings.Cut(l.Value, " ")
	}
	return l
}
