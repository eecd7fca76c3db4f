package report

// DropTopologiesOver removes the nodes of every topology that holds more than
// limit nodes for each host in the report. A report without hosts counts as one
// host. So one runaway probe cannot fill a collector. DropTopologiesOver returns
// the names of the topologies that it emptied, in the order of [Kind]. Their
// templates and controls stay, as in Scope. A limit below 1 is no limit.
//
// r is not modified. If no topology is over the limit, the result is r itself.
func DropTopologiesOver(r *Report, limit int) (*Report, []string) {
	if limit < 1 {
		return r, nil
	}
	var names []string
	out := r
	for k := range r.Topologies {
		if !overLimit(r, Kind(k), limit) {
			continue
		}
		if out == r {
			out = copyOf(r)
		}
		out.Topologies[k].Nodes = nil
		names = append(names, Kind(k).Name())
	}
	return out, names
}

// overLimit reports whether a topology holds more than limit nodes for each host.
func overLimit(r *Report, k Kind, limit int) bool {
	return TooMany(len(r.Topologies[k].Nodes), len(r.Topologies[Host].Nodes), limit)
}

// TooMany reports whether so many nodes are more than limit for each host. A
// limit below 1 is no limit.
func TooMany(nodes, hosts, limit int) bool {
	return limit >= 1 && (nodes-1)/max(1, hosts) >= limit // as nodes > limit·hosts, without overflow
}

// copyOf returns a report whose fields may be replaced without touching r.
func copyOf(r *Report) *Report {
	out := *r
	return &out
}
