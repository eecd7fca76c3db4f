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

// latencies are how long requests of one kind took. It is safe for any number
// of goroutines.
type latencies struct {
	mu     sync.Mutex // guards what follows
	took   []time.Duration
	failed map[string]int    // by status, or what else went wrong
	reason map[string]string // of the first of each
}

// add notes a request that took that long, or failed.
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

// kindOf names a failure without its particulars.
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

// Latency sums up how long requests of a kind took; durations are in
// nanoseconds.
type Latency struct {
	Count         int               // answered with 200
	P50, P99, Max time.Duration     // of these
	Failed        map[string]int    `json:",omitempty"` // by status, "timeout" or "no answer"
	Reasons       map[string]string `json:",omitempty"` // the first of each
}

func (l *latencies) sum() Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	sorted := slices.Sorted(slices.Values(l.took))
	return Latency{Count: len(sorted), P50: quantile(sorted, 0.5), P99: quantile(sorted, 0.99), Max: quantile(sorted, 1),
		Failed: l.failed, Reasons: l.reason}
}

// failures returns how many failed in all.
func (l Latency) failures() (n int) {
	for _, count := range l.Failed {
		n += count
	}
	return n
}

// quantile returns the least of sorted durations that a share of all does not
// exceed; 0 when there are none.
func quantile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(share * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
