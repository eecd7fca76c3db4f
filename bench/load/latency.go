package main

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"sync"
	"time"
)

// latencies collects the durations of requests of one kind. It is safe for concurrent use.
type latencies struct {
	mu     sync.Mutex // guards the fields below
	took   []time.Duration
	failed map[string]int    // by status or other cause
	reason map[string]string // the first reason for each cause
}

// add records a request's duration or failure.
func (l *latencies) add(took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.took = append(l.took, took)
		return
	}
	if l.failed == nil {
		l.failed, l.reason = map[string]int{}, map[string]string{}
	}
	kind := kindOf(err)
	l.failed[kind]++
	if l.failed[kind] == 1 {
		l.reason[kind] = err.Error()
	}
}

// kindOf returns the kind of a failure without its details.
func kindOf(err error) string {
	var answered *statusError
	if errors.As(err, &answered) {
		return fmt.Sprint(answered.status)
	}
	var e *url.Error
	if errors.As(err, &e) && e.Timeout() {
		return "timeout"
	}
	return "no answer"
}

// Latency sums up the durations of requests of one kind. Durations in JSON are in nanoseconds.
type Latency struct {
	Count         int               // requests that were answered with 200
	P50, P99, Max time.Duration     // of these requests
	Failed        map[string]int    `json:",omitempty"` // by status, "timeout" or "no answer"
	Reasons       map[string]string `json:",omitempty"` // the first for each kind
}

func (l *latencies) sum() Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	sorted := slices.Sorted(slices.Values(l.took))
	return Latency{Count: len(sorted), P50: quantile(sorted, 0.5), P99: quantile(sorted, 0.99), Max: quantile(sorted, 1),
		Failed: l.failed, Reasons: l.reason}
}

// failures returns the number of failed requests.
func (l Latency) failures() (n int) {
	for _, count := range l.Failed {
		n += count
	}
	return n
}

// quantile returns the smallest of the sorted durations that is not below the given share of them, or 0
// without durations.
func quantile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(share * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
