package reports

import (
	"slices"
	"strings"

	"github.com/timeblob/timeblob/reports/report"
)

// censorParams are the parameters that leave out what may be secret.
var censorParams = []string{"hideCommandLineArguments", "hideEnvironmentVariables"}

// censor is what to leave out of a report.
type censor struct{ arguments, environment bool }

func (p params) censor() (c censor, err error) {
	if c.arguments, err = p.flag("hideCommandLineArguments"); err != nil {
		return c, err
	}
	c.environment, err = p.flag("hideEnvironmentVariables")
	return c, err
}

// of returns the report without what is to be left out of its nodes and their
// children. It changes nothing in r, and shares with it what needs no change.
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

// mapNodes returns the nodes that f makes of nodes, and nodes itself when those
// are the same.
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

// node returns n without what is to be left out; n itself when it has nothing
// of that. Children are nested no deeper than decoding lets them be.
func (c censor) node(n *report.Node) *report.Node {
	children := mapNodes(n.Children, c.node)
	sameChildren := len(children) == 0 || &children[0] == &n.Children[0]
	if sameChildren && !slices.ContainsFunc(n.Latest, c.touches) {
		return n
	}
	censored := *n
	censored.Children = children
	censored.Latest = make([]report.Latest, 0, len(n.Latest))
	for _, l := range n.Latest {
		if !c.drops(l) {
			censored.Latest = append(censored.Latest, c.cut(l))
		}
	}
	return &censored
}

func (c censor) touches(l report.Latest) bool { return c.drops(l) || c.cut(l) != l }

// drops reports whether a value is an environment variable to be left out.
func (c censor) drops(l report.Latest) bool {
	return c.environment && strings.HasPrefix(l.Key, "docker_env_")
}

// cut leaves out the arguments of a command line: all from the first space on.
func (c censor) cut(l report.Latest) report.Latest {
	if c.arguments && (l.Key == "cmdline" || l.Key == "docker_container_command") {
		l.Value, _, _ = strings.Cut(l.Value, " ")
	}
	return l
}
