package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/timeblob/timeblob/internal/human"
)

// Sample is the state of a collector at a moment, from its metrics.
type Sample struct {
	At         time.Duration // since the start
	RSS        int64         // bytes
	HeapInUse  int64         // bytes
	Pending    int64         // bytes
	Tenants    int           // with values in memory
	Oldest     float64       // age in seconds of the oldest value that waited to be stored when the last tick ended
	Waiting    int           // values that wait to be stored
	Stored     int64         // values, since the collector's start
	CPUSeconds float64
}

func (m metrics) sample(at time.Duration) Sample {
	return Sample{At: at, RSS: int64(m.get("process_resident_memory_bytes")),
		HeapInUse: int64(m.get("go_memstats_heap_inuse_bytes")), Pending: int64(m.get("scope_pending_bytes")),
		Tenants: int(m.get("scope_live_tenants")), Oldest: m.get("scope_pending_oldest_seconds"),
		Waiting: int(m.get("scope_pending_values")), Stored: int64(m.get("scope_reports_stored_total")), CPUSeconds: m.get("process_cpu_seconds_total")}
}

// watcher reads a collector's metrics at intervals.
type watcher struct {
	client  *client
	begun   time.Time
	samples []Sample
	first   metrics
	last    metrics
	missed  int // failed reads
}

// newWatcher returns a watcher with a first sample.
func newWatcher(ctx context.Context, c *client) (*watcher, error) {
	w := &watcher{client: c, begun: time.Now()}
	m, err := c.metrics(ctx)
	if err != nil {
		return nil, err
	}
	w.first = m
	w.note(m)
	return w, nil
}

func (w *watcher) note(m metrics) {
	w.last = m
	w.samples = append(w.samples, m.sample(time.Since(w.begun)))
}

// look takes a sample and calls each of also with it.
func (w *watcher) look(ctx context.Context) {
	m, err := w.client.metrics(ctx)
	if err != nil {
		w.missed++
		return
	}
	w.note(m)
}

// watch takes samples and reports progress until done is closed or ctx ends.
func (w *watcher) watch(ctx context.Context, opts *options, done <-chan struct{}, say func(now Sample)) {
	look, speak := time.NewTicker(opts.sample), time.NewTicker(opts.progress)
	defer look.Stop()
	defer speak.Stop()
	for {
		select {
		case <-look.C:
			w.look(ctx)
		case <-speak.C:
			say(w.now())
		case <-done:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (w *watcher) now() Sample { return w.samples[len(w.samples)-1] }

// state is the part of a progress line about the collector.
func (s Sample) write(w io.Writer, at time.Duration, text string) {
	fmt.Fprintf(w, "load: %5s  %s  pending %s, heap %s, RSS %s\n", at.Round(time.Second), text,
		human.Bytes(s.Pending), human.Bytes(s.HeapInUse), human.Bytes(s.RSS))
}

// minutes returns the first sample, the samples closest after each full minute, and the last.
func minutes(samples []Sample) []Sample {
	var at []Sample
	next := time.Duration(0)
	for i, s := range samples {
		if s.At >= next || i == len(samples)-1 {
			at = append(at, s)
			next = s.At.Truncate(time.Minute) + time.Minute
		}
	}
	return at
}

// growth returns the growth of memory over samples as a fraction: the mean of the last sixth compared with
// the mean of the first sixth. Without samples it is 0.
func growth(samples []Sample, over time.Duration) float64 {
	for len(samples) > 0 && samples[len(samples)-1].At-samples[0].At > over {
		samples = samples[1:]
	}
	part := max(len(samples)/6, 1)
	if len(samples) < 2*part {
		return 0
	}
	begin, end := meanRSS(samples[:part]), meanRSS(samples[len(samples)-part:])
	return end/begin - 1
}

func meanRSS(samples []Sample) float64 {
	sum := 0.0
	for _, s := range samples {
		sum += float64(s.RSS)
	}
	return sum / float64(len(samples))
}
