package admin

import (
	"cmp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/timeblob/timeblob/internal/human"
)

// figures are the metrics that the page shows.
type figures struct {
	Err string // what could not be gathered; empty if nothing

	Retries, Refused, Waiting figure
	Tiers                     []tierFigures // in the order in which they are read
}

// figure is the sum of the series of a metric.
type figure struct {
	Known bool
	Value int64
}

// tierFigures describes one tier that reports are read from.
type tierFigures struct {
	Name, About    string
	Requests, Hits int64 // at most as many hits as requests, also when one was counted between the two
	Errors         figure
}

// Ratio returns the share of requests that were hits, or 0 without requests.
func (t tierFigures) Ratio() float64 {
	if t.Requests == 0 {
		return 0
	}
	return float64(t.Hits) / float64(t.Requests)
}

// Names of the tiers that are not caches with their own names.
const (
	tierQuanta    = "merged quanta"
	tierMemory    = "memory"
	tierAuthority = "authority"
)

// gatherFigures reads the metrics of a namespace.
func gatherFigures(g prometheus.Gatherer, namespace string) figures {
	found, err := g.Gather()
	r := gathered{namespace: namespace, families: make(map[string]*dto.MetricFamily, len(found))}
	for _, f := range found {
		r.families[f.GetName()] = f
	}
	f := figures{Retries: r.sum("flush_retries_total"), Refused: r.sum("values_refused_total"), Waiting: r.sum("pending_values"),
		Tiers: slices.Concat(r.cache(tierQuanta, "slices of time, merged", "quantum_cache"),
			r.cache(tierMemory, "reports, decoded", "in_process_cache"), r.tiers())}
	if err != nil {
		f.Err = human.Line(err.Error())
	}
	return f
}

// gathered finds metrics by their names without the namespace.
type gathered struct {
	namespace string
	families  map[string]*dto.MetricFamily // by name
}

func (r gathered) family(name string) (f *dto.MetricFamily, ok bool) {
	f, ok = r.families[prometheus.BuildFQName(r.namespace, "", name)]
	return f, ok
}

func (r gathered) sum(name string) (sum figure) {
	f, ok := r.family(name)
	sum.Known = ok
	for _, m := range f.GetMetric() {
		sum.Value += valueOf(m)
	}
	return sum
}

// cache returns the figures of a cache whose metrics begin with prefix, if it
// exists.
func (r gathered) cache(name, about, prefix string) []tierFigures {
	requests, hits := r.sum(prefix+"_requests_total"), r.sum(prefix+"_hits_total")
	if !requests.Known || !hits.Known {
		return nil
	}
	return []tierFigures{{Name: name, About: about, Requests: requests.Value, Hits: min(hits.Value, requests.Value)}}
}

// tiers returns the figures of the tiers below memory, the authority last.
func (r gathered) tiers() []tierFigures {
	requests, hits, errors := r.byTier("tier_requests_total"), r.byTier("tier_hits_total"), r.byTier("tier_errors_total")
	var all []tierFigures
	for name, n := range requests {
		about := "cache of blobs"
		if name == tierAuthority {
			about = "holds every blob"
		}
		all = append(all, tierFigures{Name: name, About: about, Requests: n, Hits: min(hits[name], n),
			Errors: figure{Known: true, Value: errors[name]}})
	}
	last := func(t tierFigures) int {
		if t.Name == tierAuthority {
			return 1
		}
		return 0
	}
	slices.SortFunc(all, func(a, b tierFigures) int {
		return cmp.Or(cmp.Compare(last(a), last(b)), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// byTier sums the series of a metric by their label tier.
func (r gathered) byTier(name string) map[string]int64 {
	f, _ := r.family(name)
	sums := make(map[string]int64)
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "tier" {
				sums[l.GetValue()] += valueOf(m)
			}
		}
	}
	return sums
}

// valueOf returns the value of a counter or a gauge.
func valueOf(m *dto.Metric) int64 {
	if c := m.GetCounter(); c != nil {
		return int64(c.GetValue())
	}
	return int64(m.GetGauge().GetValue())
}
