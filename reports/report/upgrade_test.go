package report_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/timeblob/timeblob/reports/report"
)

func upgrade(t interface{ Fatal(...any) }, r *report.Report) *report.Report {
	up, err := report.Upgrade(r)
	if err != nil {
		t.Fatal(err)
	}
	return up
}

// parents makes parents of "topology", "id,…" pairs.
func parents(pairs ...report.StringSet) []report.StringSet { return pairs }

func under(topology string, ids ...string) report.StringSet {
	return report.StringSet{Key: topology, Values: ids}
}

func TestUpgradeReplacesReplicaSetsOfPods(t *testing.T) {
	t.Parallel()
	replicaSets := []*report.Node{
		{ID: "r1", Parents: parents(under("deployment", "d1"), under("namespace", "n"))},
		{ID: "r2", Parents: parents(under("deployment", "d2", "d3"))},
		{ID: "r3", Topology: "pod", Parents: parents(under("deployment", "d4"))},
		{ID: "r3", Topology: "replica_set", Parents: parents(under("deployment", "d5"))},
		{ID: "r4"},
	}
	for name, c := range map[string]struct{ in, want []report.StringSet }{
		"one":                         {parents(under("host", "h"), under("replica_set", "r1")), parents(under("deployment", "d1"), under("host", "h"))},
		"more than one":               {parents(under("replica_set", "r1", "r2")), parents(under("deployment", "d1", "d2", "d3"))},
		"beside a deployment":         {parents(under("deployment", "d0", "d2"), under("replica_set", "r2")), parents(under("deployment", "d0", "d2", "d3"))},
		"copies kept apart":           {parents(under("replica_set", "r3")), parents(under("deployment", "d4", "d5"))},
		"that has no deployment":      {parents(under("replica_set", "r4"), under("z", "z")), parents(under("z", "z"))},
		"that is not in the report":   {parents(under("deployment", "d0"), under("replica_set", "r9")), parents(under("deployment", "d0"))},
		"nothing but replica sets":    {parents(under("replica_set", "r4")), parents()},
		"a pod without a replica set": {parents(under("host", "h")), parents(under("host", "h"))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			other := &report.Node{ID: "q"}
			r := withNodes(report.Pod, &report.Node{ID: "p", Topology: "pod", Adjacency: []string{"x"}, Parents: c.in}, other)
			r.Topologies[report.ReplicaSet].Nodes = replicaSets
			before := deepCopy(reflect.ValueOf(r)).Interface()
			pods := nodesOf(upgrade(t, r), report.Pod)
			if !reflect.DeepEqual(before, r) {
				t.Error("the input has changed")
			}
			want := &report.Node{ID: "p", Topology: "pod", Adjacency: []string{"x"}, Parents: c.want}
			if diff := cmp.Diff(want, pods[0]); diff != "" {
				t.Errorf("(- wanted, + got):\n%s", diff)
			}
			if pods[1] != other {
				t.Error("the other pod is not shared")
			}
		})
	}
}

func TestUpgradeWithoutReplicaSetsLeavesPods(t *testing.T) {
	t.Parallel()
	r := withNodes(report.Pod, &report.Node{ID: "p", Parents: parents(under("replica_set", "r1"))})
	if upgrade(t, r) != r {
		t.Error("the report has changed")
	}
}

func TestUpgradeRefusesABillionDeployments(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 3000 {
		many = append(many, fmt.Sprintf("%05d", i))
	}
	r := report.New()
	for _, id := range many {
		r.Topologies[report.ReplicaSet].Nodes = append(nodesOf(r, report.ReplicaSet), &report.Node{ID: id, Parents: parents(under("deployment", many...))})
		r.Topologies[report.Pod].Nodes = append(nodesOf(r, report.Pod), &report.Node{ID: id, Parents: parents(under("replica_set", many...))})
	}
	if up, err := report.Upgrade(r); err == nil || up != nil {
		t.Errorf("Upgrade = %v", err)
	}
}

func TestUpgradeRefusesNil(t *testing.T) {
	t.Parallel()
	if up, err := report.Upgrade(nil); err == nil || up != nil {
		t.Errorf("Upgrade = %v, %v", up, err)
	}
}

func TestUpgradeAddsMissingNamespaces(t *testing.T) {
	t.Parallel()
	in := func(seconds int64, namespace string) report.Latest {
		return latest("kubernetes_namespace", seconds, namespace)
	}
	r := report.New()
	for k, n := range map[report.Kind]*report.Node{
		report.Pod:         {ID: "1", Latest: report.ValuesOf(in(1, "b"), latest("kubernetes_state", 9, "running"))},
		report.Service:     {ID: "2", Latest: report.ValuesOf(in(3, "b"))},
		report.Deployment:  {ID: "3", Latest: report.ValuesOf(in(2, "b"))},
		report.DaemonSet:   {ID: "4", Latest: report.ValuesOf(in(4, "a"))},
		report.StatefulSet: {ID: "5", Latest: report.ValuesOf(in(5, "b!"))},
		report.CronJob:     {ID: "6", Latest: report.ValuesOf(report.Latest{Key: "kubernetes_namespace", Value: "never"})},
		report.Job:         {ID: "7", Latest: report.ValuesOf(in(6, "of a job"))},
		report.ReplicaSet:  {ID: "8", Latest: report.ValuesOf(in(6, "of a replica set"))},
	} {
		r.Topologies[k].Nodes = []*report.Node{n}
	}
	r.Topologies[report.Pod].Nodes = append(nodesOf(r, report.Pod),
		&report.Node{ID: "9", Latest: report.ValuesOf(in(6, "gone"), latest("kubernetes_state", 9, "deleted"))},
		&report.Node{ID: "99", Latest: report.ValuesOf(latest("kubernetes_name", 6, "nowhere"))})
	never := latest("kubernetes_name", 0, "never")
	never.Timestamp = report.InstantOf(at(0).AddDate(-9999, 0, 0))
	nameless := report.Latest{Key: "kubernetes_namespace", Timestamp: never.Timestamp, Value: "never"}
	r.Topologies[report.CronJob].Nodes[0].Latest = report.ValuesOf(nameless)

	want := []*report.Node{
		{ID: "a;<namespace>", Latest: report.ValuesOf(latest("kubernetes_name", 4, "a"))},
		{ID: "b!;<namespace>", Latest: report.ValuesOf(latest("kubernetes_name", 5, "b!"))},
		{ID: "b;<namespace>", Latest: report.ValuesOf(latest("kubernetes_name", 3, "b"))},
		{ID: "never;<namespace>", Latest: report.ValuesOf(never)},
	}
	if diff := cmp.Diff(want, nodesOf(upgrade(t, r), report.Namespace)); diff != "" {
		t.Errorf("(- wanted, + got):\n%s", diff)
	}
	r.Topologies[report.Namespace].Nodes = []*report.Node{{ID: "x"}}
	if upgrade(t, r) != r {
		t.Error("a report with a namespace got more of them")
	}
}

func TestUpgradeMovesAndBuildsDNS(t *testing.T) {
	t.Parallel()
	endpoint := func(id string, snooped, reverse []string) *report.Node {
		n := &report.Node{ID: id}
		if reverse != nil {
			n.Sets = append(n.Sets, report.StringSet{Key: "reverse_dns_names", Values: reverse})
		}
		if snooped != nil {
			n.Sets = append(n.Sets, report.StringSet{Key: "snooped_dns_names", Values: snooped})
		}
		return n
	}
	endpoints := []*report.Node{
		endpoint(";10.0.0.1;80", []string{"b", "c"}, nil),
		endpoint(";10.0.0.1;81", []string{"a", "c"}, []string{"r"}),
		endpoint(";10.0.0.9;1", nil, nil),
		endpoint("no address", []string{"x"}, nil),
		endpoint("scope;no port", []string{"x"}, nil),
		endpoint("scope;::1;80;4026531992", nil, []string{"s"}),
	}
	built := []report.DNSRecord{{Address: "10.0.0.1", Forward: []string{"a", "b", "c"}, Reverse: []string{"r"}}, {Address: "::1", Reverse: []string{"s"}}}
	a := report.DNSRecord{Address: "1", Forward: []string{"x"}}
	b := report.DNSRecord{Address: "1", Forward: []string{"y"}, Reverse: []string{"z"}}
	for name, c := range map[string]struct{ dns, legacy, want []report.DNSRecord }{
		"built from endpoints":        {nil, nil, built},
		"there is some":               {[]report.DNSRecord{a}, nil, []report.DNSRecord{a}},
		"under the old name":          {nil, []report.DNSRecord{b}, []report.DNSRecord{b}},
		"under both names, as if one": {[]report.DNSRecord{a}, []report.DNSRecord{b}, []report.DNSRecord{{Address: "1", Forward: []string{"x", "y"}, Reverse: []string{"z"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := withNodes(report.Endpoint, endpoints...)
			r.DNS, r.LegacyDNS = c.dns, c.legacy
			up := upgrade(t, r)
			if diff := cmp.Diff(c.want, up.DNS); diff != "" || up.LegacyDNS != nil {
				t.Errorf("legacy is %v; DNS (- wanted, + got):\n%s", up.LegacyDNS, diff)
			}
		})
	}
}

func TestUpgradeOfWhatNeedsNoneIsFree(t *testing.T) {
	r := report.New()
	for i := range 500 {
		id := fmt.Sprintf(";10.0.%d.%d;80", i/250, i%250)
		r.Topologies[report.Endpoint].Nodes = append(nodesOf(r, report.Endpoint), &report.Node{ID: id, Sets: []report.StringSet{{Key: "s"}}})
	}
	if n := testing.AllocsPerRun(10, func() { upgrade(t, r) }); n != 0 || upgrade(t, r) != r {
		t.Errorf("%v allocations", n)
	}
}

func TestUpgradeThenMergeIsExactWhateverTheOrder(t *testing.T) {
	t.Parallel()
	pod := func(id, namespace string, seconds int64) *report.Report {
		return withNodes(report.Pod, &report.Node{ID: id, Latest: report.ValuesOf(latest("kubernetes_namespace", seconds, namespace))})
	}
	a, b := upgrade(t, pod("p", "n", 1)), upgrade(t, pod("p", "n", 2))
	x, y := plain(merge(t, a, b)), plain(merge(t, b, a))
	if !reflect.DeepEqual(x, y) {
		t.Errorf("%v\n%v", x, y)
	}
	if got := nodesOf(merge(t, a, b), report.Namespace); len(got) != 1 || got[0].Latest.At(0).Timestamp != report.InstantOf(at(2)) {
		t.Errorf("namespaces are %v", got)
	}
}
