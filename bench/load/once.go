package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/timeblob/timeblob/internal/human"
)

// Visit is the result of a run in which each tenant posts once.
type Visit struct {
	Tenants int
	Posts   Latency
	Samples []Sample
	// Before is the memory before the first post, Most the maximum, After the memory at the end. Heap in use
	// and RSS are in bytes.
	Before, Most, After Sample
	Took, Settled       time.Duration // the time for posting, and from then until memory was back
	Back                bool          // whether no tenant is left and heap in use is near its start
}

// near is how many bytes larger the heap may be at the end than at the start. It leaves room for the metrics of
// tenants, which stay for a while and are limited in number, and for the store's write buffers.
const near = 192 << 20

// visitors is the number of tenants that post at the same time.
const visitors = 64

// visit lets many tenants post once each and waits for memory to come back.
func visit(ctx context.Context, t *target, opts *options, stderr io.Writer) (*Visit, error) {
	c := newClient(t.url, opts.header, visitors)
	defer c.close()
	w, err := newWatcher(ctx, c)
	if err != nil {
		return nil, err
	}
	var posts latencies
	done := make(chan struct{})
	go func() { defer close(done); postOnce(ctx, c, opts, &posts) }()
	w.watch(ctx, opts, done, func(now Sample) {
		now.write(stderr, time.Since(w.begun), fmt.Sprintf("%d posts, %d tenants in memory;", posts.sum().Count, now.Tenants))
	})
	<-done
	v := &Visit{Tenants: opts.once, Posts: posts.sum(), Before: w.samples[0], Took: time.Since(w.begun)}
	settle(ctx, w, opts, stderr)
	v.Settled = time.Since(w.begun) - v.Took
	v.Samples, v.After = w.samples, w.now()
	for _, s := range w.samples {
		v.Most.RSS, v.Most.HeapInUse = max(v.Most.RSS, s.RSS), max(v.Most.HeapInUse, s.HeapInUse)
		v.Most.Tenants, v.Most.Pending = max(v.Most.Tenants, s.Tenants), max(v.Most.Pending, s.Pending)
	}
	v.Back = back(v.Before, v.After)
	return v, ctx.Err()
}

// postOnce posts once for each tenant, at most at the rate of the options.
func postOnce(ctx context.Context, c *client, opts *options, posts *latencies) {
	begun := time.Now()
	turns := make(chan int)
	var g sync.WaitGroup
	for range visitors {
		g.Go(func() {
			for i := range turns {
				due := time.Now()
				tenant := fmt.Sprintf("once-%d", i)
				err := postTiny(ctx, c, tenant, tenant)
				posts.add(time.Since(due), err)
			}
		})
	}
	for i := 0; i < opts.once && sleepUntil(ctx, begun.Add(time.Duration(i)*time.Second/time.Duration(opts.rate))); i++ {
		turns <- i
	}
	close(turns)
	g.Wait()
}

func postTiny(ctx context.Context, c *client, tenant, id string) error {
	blob, err := tiny(id)
	if err != nil {
		return err
	}
	return c.post(ctx, tenant, blob)
}

// settle watches until memory is back or the time for it is over.
func settle(ctx context.Context, w *watcher, opts *options, stderr io.Writer) {
	begun := time.Now()
	done := make(chan struct{})
	var once sync.Once
	timer := time.AfterFunc(opts.settle, func() { once.Do(func() { close(done) }) })
	defer timer.Stop()
	w.watch(ctx, opts, done, func(now Sample) {
		now.write(stderr, time.Since(w.begun), fmt.Sprintf("%v after the last post, %d tenants in memory;",
			time.Since(begun).Round(time.Second), now.Tenants))
		if back(w.samples[0], now) {
			once.Do(func() { close(done) })
		}
	})
}

// back reports whether memory has come back.
func back(before, now Sample) bool {
	return now.Tenants <= before.Tenants && now.Pending <= before.Pending && now.HeapInUse <= before.HeapInUse+near
}

func (v *Visit) verdict() error {
	var wrong []error
	if n := v.Posts.failures(); n > 0 {
		wrong = append(wrong, fmt.Errorf("%d posts failed", n))
	}
	if !v.Back {
		wrong = append(wrong, errors.New("memory did not come back"))
	}
	return errors.Join(wrong...)
}

func (v *Visit) write(w io.Writer) error {
	fmt.Fprintf(w, "%d tenants, each heard of once, in %v\n\n", v.Tenants, v.Took.Round(time.Second))
	t := table{{"", "COUNT", "FAILED", "P50", "P99", "MAX"}}
	t.latency("POST", v.Posts)
	t.write(w)
	v.Posts.writeFailures(w)
	fmt.Fprintln(w)
	t = table{{"", "BEFORE", "AT MOST", "AFTER"}}
	for _, r := range []struct {
		name string
		of   func(Sample) string
	}{
		{"RSS", func(s Sample) string { return human.Bytes(s.RSS) }},
		{"heap in use", func(s Sample) string { return human.Bytes(s.HeapInUse) }},
		{"tenants", func(s Sample) string { return fmt.Sprint(s.Tenants) }},
		{"pending", func(s Sample) string { return human.Bytes(s.Pending) }},
	} {
		t.row(r.name, r.of(v.Before), r.of(v.Most), r.of(v.After))
	}
	t.write(w)
	writeMemory(w, v.Samples)
	fmt.Fprintf(w, "\nafter is %v after the last post\n", v.Settled.Round(time.Second))
	return nil
}
