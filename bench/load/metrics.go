package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// metrics are a collector's samples, summed over all labels except le, and except method for the steps of a
// flush.
type metrics map[series]float64

// series names one of the metrics.
type series struct {
	name   string
	method string  // "" for none
	le     float64 // the upper bound of a bucket; 0 for other metrics, never NaN
}

// wanted are the names of the metrics to keep.
var wanted = []string{"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds",
	"go_memstats_heap_inuse_bytes", "go_memstats_heap_alloc_bytes", "go_goroutines",
	"scope_pending_bytes", "scope_pending_values", "scope_pending_oldest_seconds", "scope_live_tenants", "scope_reports_received_total", "scope_reports_stored_total", "scope_reports_bytes_total",
	"scope_flush_duration_seconds_bucket",
	"scope_flush_duration_seconds_count", "scope_flush_retries_total", "scope_values_refused_total"}

// labelled matches the labels to keep.
var labelled = regexp.MustCompile(`\b(le|method)="([^"]*)"`)

// readMetrics parses Prometheus' text format.
func readMetrics(r io.Reader) (metrics, error) {
	m := metrics{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		name := line[:max(strings.IndexAny(line, "{ "), 0)]
		if !slices.Contains(wanted, name) {
			continue
		}
		value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("metrics: line %q: %w", line, err)
		}
		m[seriesOf(name, line)] += value
	}
	return m, lines.Err()
}

func seriesOf(name, line string) series {
	s := series{name: name}
	for _, label := range labelled.FindAllStringSubmatch(line, -1) {
		if label[1] == "method" {
			s.method = label[2]
		} else if le, err := strconv.ParseFloat(label[2], 64); err == nil {
			s.le = le
		}
	}
	return s
}

// get returns the value of a metric without labels.
func (m metrics) get(name string) float64 { return m[series{name: name}] }

// steps returns the steps of flushes that occurred, sorted.
func (m metrics) steps() []string {
	var steps []string
	for s := range m {
		if s.name == "scope_flush_duration_seconds_count" {
			steps = append(steps, s.method)
		}
	}
	slices.Sort(steps)
	return steps
}

// flushes returns the histogram of a step since earlier metrics.
func (m metrics) flushes(step string, since metrics) histogram {
	var h histogram
	for s, count := range m {
		if s.name == "scope_flush_duration_seconds_bucket" && s.method == step {
			h = append(h, bin{s.le, count - since[s]})
		}
	}
	slices.SortFunc(h, func(a, b bin) int {
		if a.upTo < b.upTo {
			return -1
		}
		return 1
	})
	return h
}

// histogram counts the values up to each bound. The bounds ascend to infinity.
type histogram []bin

type bin struct{ upTo, count float64 }

func (h histogram) total() float64 {
	if len(h) == 0 {
		return 0
	}
	return h[len(h)-1].count
}

// quantile returns the value below which the given share lies. Like Prometheus, it assumes that values are
// evenly spread within a bucket, and returns the last finite bound for values above it.
func (h histogram) quantile(share float64) float64 {
	rank := share * h.total()
	from := bin{}
	for _, b := range h {
		if b.count >= rank && b.count > from.count {
			if math.IsInf(b.upTo, 1) {
				return from.upTo
			}
			return from.upTo + (b.upTo-from.upTo)*(rank-from.count)/(b.count-from.count)
		}
		from = b
	}
	return from.upTo
}
