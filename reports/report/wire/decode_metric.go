package wire

import (
	"encoding/binary"
	"math"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/internal/sorted"
)

// metricMap reads the metrics of a node.
func (d *decoder) metricMap() []report.Metric {
	list := d.metrics.take(d, d.openMap())
	for i := range list {
		key := d.keys.get(d.raw())
		if d.err != nil {
			return nil
		}
		m := &list[i]
		if m.Key = key; d.usualMetric(m) {
			continue
		}
		if d.metric(m); d.err != nil {
			d.within("[%.64q]", key)
			return nil
		}
	}
	d.depth--
	return sorted.Unique(list, (*report.Metric).Compare)
}

// The form in which every probe writes a metric: metricHead, the list of its
// samples, metricMin, a number, metricMax, and a number. Numbers take floatLength
// bytes.
const (
	metricHead  = "\x83\xa7samples"
	metricMin   = "\xa3min\xcb"
	metricMax   = "\xa3max\xcb"
	floatLength = 8
)

// usualMetric reads a metric of few samples that has the usual form. It returns
// false, and reads nothing, if the metric has another form.
func (d *decoder) usualMetric(m *report.Metric) bool {
	const ends = len(metricMin) + floatLength + len(metricMax) + floatLength
	in := d.in[d.at:]
	if len(in) <= len(metricHead) || string(in[:len(metricHead)]) != metricHead || d.depth+2 >= maxDepth {
		return false
	}
	n, at := int(in[len(metricHead)]^mpFixList), len(metricHead)+1
	end := at + n*(sampleForm+1+floatLength)
	if n > 15 || end+ends > len(in) || !areSamples(in[at:end]) {
		return false
	}
	low, high := in[end:], in[end+len(metricMin)+floatLength:]
	if string(low[:len(metricMin)]) != metricMin || string(high[:len(metricMax)]) != metricMax {
		return false
	}
	m.Min, m.Max = floatIn(low[len(metricMin):]), floatIn(high[len(metricMax):])
	m.Samples = d.samples.take(d, n)
	for i := range m.Samples {
		s := &m.Samples[i]
		s.Date = binaryInstant(in[at+len(sampleHead):])
		s.Value = floatIn(in[at+sampleForm+1:])
		at += sampleForm + 1 + floatLength
	}
	m.Samples = sorted.Unique(m.Samples, (*report.Sample).Compare)
	d.at += end + ends
	return true
}

// areSamples reports whether in holds nothing but samples that have the usual form
// and long numbers.
func areSamples(in []byte) bool {
	for ; len(in) > 0; in = in[sampleForm+1+floatLength:] {
		if !isSampleHead(in) || in[sampleForm] != mpFloat64 {
			return false
		}
	}
	return true
}

func floatIn(in []byte) float64 { return math.Float64frombits(binary.BigEndian.Uint64(in)) }

func (d *decoder) metric(m *report.Metric) {
	for name := range d.fields {
		switch string(name) {
		case "samples":
			m.Samples = sorted.Unique(list(d, &d.samples, (*decoder).sample), (*report.Sample).Compare)
		case "min":
			m.Min = d.float()
		case "max":
			m.Max = d.float()
		default:
			d.skip()
		}
	}
}

func (d *decoder) sample(s *report.Sample) {
	if t, ok := d.usualTime(sampleHead, sampleBody); ok {
		s.Date, s.Value = t, d.float()
		d.withinIfFailed("value")
		return
	}
	for name := range d.fields {
		switch string(name) {
		case "date":
			s.Date = d.instant()
		case "value":
			s.Value = d.float()
		default:
			d.skip()
		}
	}
}
