package report

import (
	"errors"
	"slices"
	"strings"
)

// MaxDeployments is how many names of deployments an upgrade hands out to
// pods: a hostile report of a few megabytes could ask for billions. A cluster
// needs about one for each pod.
const MaxDeployments = 1 << 22

var (
	errUpgradeNil         = errors.New("upgrade report: it is nil")
	errTooManyDeployments = errors.New("upgrade report: replica sets give its pods too many deployments as parents")
)

// Upgrade brings a report of an old probe to the form of Scope 1.13, as is
// needed before it is merged:
//   - A pod's replica sets among its parents are replaced by the deployments
//     that those replica sets have as parents, when the report holds any
//     replica set.
//   - A report without namespaces gets one for each that a pod, service,
//     deployment, daemon set, stateful set or cron job which is not deleted
//     names. It is stamped with the newest time at which one of those named it
//     (Scope stamps the current time, so that no two readers agree).
//   - LegacyDNS joins DNS. If there is no DNS then, it is built from what the
//     endpoints were called.
//
// r is not modified; what need not change is shared. When nothing needs doing,
// the result is r itself: that takes one look at the Kubernetes nodes if there
// are no namespaces, at the pods if there are replica sets, and at the
// endpoints if there is no DNS. Upgrading twice is upgrading once.
//
// An error means that r is nil, or that its pods and replica sets multiply to
// over four million names of deployments.
func Upgrade(r *Report) (*Report, error) {
	if r == nil {
		return nil, errUpgradeNil
	}
	pods, err := upgradePods(r)
	if err != nil {
		return nil, err
	}
	namespaces, dns := missingNamespaces(r), upgradeDNS(r)
	if pods == nil && namespaces == nil && dns == nil {
		return r, nil
	}
	out := copyOf(r)
	if pods != nil {
		out.Topologies[Pod].Nodes = pods
	}
	if namespaces != nil {
		out.Topologies[Namespace].Nodes = namespaces
	}
	if dns != nil {
		out.DNS, out.LegacyDNS = dns, nil
	}
	return out, nil
}

// upgradePods returns the pods with deployments for replica sets, or nil when
// they stay as they are.
func upgradePods(r *Report) ([]*Node, error) {
	if len(r.Topologies[ReplicaSet].Nodes) == 0 {
		return nil, nil
	}
	left := MaxDeployments
	var pods []*Node
	for i, pod := range r.Topologies[Pod].Nodes {
		at, ok := findSet(pod.Parents, ReplicaSet.Name())
		if !ok {
			continue
		}
		sets := deploymentsOf(r, pod.Parents[at].Values)
		if left -= total(sets); left < 0 {
			return nil, errTooManyDeployments
		}
		if pods == nil {
			pods = slices.Clone(r.Topologies[Pod].Nodes)
		}
		upgraded := *pod
		upgraded.Parents = replaceSet(pod.Parents, at, Deployment.Name(), sets)
		pods[i] = &upgraded
	}
	return pods, nil
}

// deploymentsOf returns the sets of deployments that replica sets have as
// parents.
func deploymentsOf(r *Report, replicaSets []string) [][]string {
	var sets [][]string
	for _, id := range replicaSets {
		for _, n := range nodesOf(r.Topologies[ReplicaSet].Nodes, id) {
			if at, ok := findSet(n.Parents, Deployment.Name()); ok {
				sets = append(sets, n.Parents[at].Values)
			}
		}
	}
	return sets
}

// total returns how many names sets hold.
func total(sets [][]string) int {
	n := 0
	for _, s := range sets {
		n += len(s)
	}
	return n
}

// nodesOf returns the nodes of one ID: none, one, or the copies that are kept
// apart.
func nodesOf(nodes []*Node, id string) []*Node {
	from, _ := slices.BinarySearchFunc(nodes, id, func(n *Node, id string) int { return strings.Compare(n.ID, id) })
	to := from
	for to < len(nodes) && nodes[to].ID == id {
		to++
	}
	return nodes[from:to]
}

// findSet returns the index of the set with a name.
func findSet(sets []StringSet, name string) (int, bool) {
	return slices.BinarySearchFunc(sets, name, func(s StringSet, name string) int { return strings.Compare(s.Key, name) })
}

// replaceSet returns sets without the one at an index, and with the elements of more added to the set with a name.
func replaceSet(sets []StringSet, at int, name string, more [][]string) []StringSet {
	if len(sets) == 1 && total(more) == 0 {
		return nil
	}
	out := slices.Delete(slices.Clone(sets), at, at+1)
	if total(more) == 0 {
		return out
	}
	to, ok := findSet(out, name)
	if ok {
		more = append(more, out[to].Values)
	} else {
		out = slices.Insert(out, to, StringSet{Key: name})
	}
	out[to].Values = sortedSet(slices.Concat(more...))
	return out
}

// sortedSet sorts values in place and returns each once.
func sortedSet(values []string) []string {
	slices.Sort(values)
	return slices.Clip(slices.Compact(values))
}

// namespaced lists the kinds whose nodes name the namespace they live in.
var namespaced = []Kind{Pod, Service, Deployment, DaemonSet, StatefulSet, CronJob}

// missingNamespaces returns nodes for the namespaces that a report names, or
// nil when it has namespaces or names none.
func missingNamespaces(r *Report) []*Node {
	if len(r.Topologies[Namespace].Nodes) > 0 {
		return nil
	}
	var named map[string]Instant
	for _, k := range namespaced {
		for _, n := range r.Topologies[k].Nodes {
			if l, ok := namespaceOf(n); ok {
				named = noteNewest(named, l)
			}
		}
	}
	var nodes []*Node
	for name, stamp := range named {
		nodes = append(nodes, &Node{
			ID:     name + ";<namespace>",
			Latest: ValuesOf(Latest{Key: "kubernetes_name", Timestamp: stamp, Value: name}),
		})
	}
	slices.SortFunc(nodes, func(a, b *Node) int { return strings.Compare(a.ID, b.ID) })
	return nodes
}

// noteNewest notes the instant of a value, unless a newer one is noted.
func noteNewest(times map[string]Instant, l Latest) map[string]Instant {
	if times == nil {
		times = map[string]Instant{}
	}
	if t, seen := times[l.Value]; !seen || t.Compare(l.Timestamp) < 0 {
		times[l.Value] = l.Timestamp
	}
	return times
}

// namespaceOf returns the namespace that a node which is not deleted names.
func namespaceOf(n *Node) (Latest, bool) {
	if n.LatestOf("kubernetes_state").Value == "deleted" {
		return Latest{}, false
	}
	return n.Latest.Of("kubernetes_namespace")
}

// upgradeDNS returns the DNS records that a report should have, or nil when it
// has them, or has none to make them from.
func upgradeDNS(r *Report) []DNSRecord {
	switch {
	case len(r.LegacyDNS) > 0:
		dns, _ := newMerger().dns.merge([][]DNSRecord{r.DNS, r.LegacyDNS})
		return dns
	case len(r.DNS) > 0:
		return nil
	}
	return dnsOfEndpoints(r.Topologies[Endpoint].Nodes)
}

// dnsOfEndpoints returns records of what endpoints were called.
func dnsOfEndpoints(endpoints []*Node) []DNSRecord {
	var named []DNSRecord
	for _, n := range endpoints {
		if r, ok := dnsOfEndpoint(n); ok {
			named = append(named, r)
		}
	}
	slices.SortStableFunc(named, func(a, b DNSRecord) int { return strings.Compare(a.Address, b.Address) })
	var dns []DNSRecord
	for len(named) > 0 {
		n := 1
		for n < len(named) && named[n].Address == named[0].Address {
			n++
		}
		dns = append(dns, uniteDNS(named[:n]))
		named = named[n:]
	}
	return dns
}

// dnsOfEndpoint returns what an endpoint was called, if its ID holds an address
// and it has such a set, be it empty.
func dnsOfEndpoint(n *Node) (DNSRecord, bool) {
	forward, hasForward := findSet(n.Sets, "snooped_dns_names")
	reverse, hasReverse := findSet(n.Sets, "reverse_dns_names")
	if !hasForward && !hasReverse {
		return DNSRecord{}, false
	}
	address, ok := addressOf(n.ID)
	r := DNSRecord{Address: address}
	if hasForward {
		r.Forward = n.Sets[forward].Values
	}
	if hasReverse {
		r.Reverse = n.Sets[reverse].Values
	}
	return r, ok
}

// uniteDNS returns the union of records of one address.
func uniteDNS(records []DNSRecord) DNSRecord {
	if len(records) == 1 {
		return records[0]
	}
	r := DNSRecord{Address: records[0].Address}
	for _, other := range records {
		r.Forward = append(r.Forward, other.Forward...)
		r.Reverse = append(r.Reverse, other.Reverse...)
	}
	r.Forward, r.Reverse = sortedSet(r.Forward), sortedSet(r.Reverse)
	return r
}

// addressOf returns the address in an endpoint's ID, "scope;address;port"
// with more parts after that in some probes.
func addressOf(id string) (string, bool) {
	_, rest, _ := strings.Cut(id, ";")
	address, _, ok := strings.Cut(rest, ";")
	return address, ok
}
