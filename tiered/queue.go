package tiered

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// queued is what a blob weighs in a queue beside its bytes.
const queued = 100

// queue writes blobs to one cache, a few at a time, in goroutines that end
// when nothing waits. What does not fit is dropped: a cache is never worth
// waiting for. Package worker's Pool cannot carry it: a Pool bounds the number of
// jobs and not their bytes, and it cannot drop the jobs of deleted keys.
type queue struct {
	put      func(ctx context.Context, key string, blob []byte) error
	workers  int
	maxBytes int64
	results  writeBackResults

	mu      sync.Mutex // guards what follows
	waiting []writeBack
	bytes   int64 // of blobs that wait or are being written
	running int   // workers
	closed  bool
	done    chan struct{} // closed when the queue is closed and has no worker
}

// writeBack is a blob for a cache; its bytes are the queue's.
type writeBack struct {
	key  string
	blob []byte
}

func (w writeBack) weight() int64 { return int64(len(w.key)+len(w.blob)) + queued }

// writeBackResults counts what became of blobs.
type writeBackResults struct {
	stored, exists, failed, dropped prometheus.Counter
}

func (m *metrics) writeBackResults(tier string) writeBackResults {
	return writeBackResults{
		stored:  m.writeBacks.WithLabelValues(tier, resultStored),
		exists:  m.writeBacks.WithLabelValues(tier, resultExists),
		failed:  m.writeBacks.WithLabelValues(tier, resultFailed),
		dropped: m.writeBacks.WithLabelValues(tier, resultDropped),
	}
}

// add takes a copy of a blob, or drops it when too many bytes wait or the
// queue is closed. It does not block. The copy is the queue's own: a cache that
// changes its input, or reuses the memory of what it returned, harms no other.
func (q *queue) add(key string, blob []byte) {
	w := writeBack{key: key, blob: blob}
	if !q.reserve(w.weight()) {
		q.results.dropped.Inc()
		return
	}
	w.blob = bytes.Clone(blob)
	q.push(w)
}

// reserve makes room for a blob, so that one without room is not copied.
func (q *queue) reserve(weight int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.bytes+weight > q.maxBytes {
		return false
	}
	q.bytes += weight
	return true
}

func (q *queue) push(w writeBack) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		q.bytes -= w.weight()
		q.results.dropped.Inc()
		return
	}
	q.waiting = append(q.waiting, w)
	if q.running < q.workers {
		q.running++
		go q.work()
	}
}

// work writes until nothing waits.
func (q *queue) work() {
	for {
		w, ok := q.next()
		if !ok {
			return
		}
		q.write(w)
	}
}

// next takes the blob that waited longest, or ends the worker.
func (q *queue) next() (w writeBack, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.running--
		q.endLocked()
		return w, false
	}
	w = q.waiting[0]
	q.waiting[0] = writeBack{}
	q.waiting = q.waiting[1:]
	return w, true
}

// write stores one blob. It has no caller, so the cache's timeout alone
// bounds it.
func (q *queue) write(w writeBack) {
	switch err := q.put(context.Background(), w.key, w.blob); {
	case err == nil:
		q.results.stored.Inc()
	case errors.Is(err, ErrExists):
		q.results.exists.Inc()
	default:
		q.results.failed.Inc()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= w.weight()
}

// forget drops the blobs of keys that wait.
func (q *queue) forget(keys []string) {
	sorted := slices.Sorted(slices.Values(keys))
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.DeleteFunc(q.waiting, func(w writeBack) bool {
		_, gone := slices.BinarySearch(sorted, w.key)
		if gone {
			q.bytes -= w.weight()
			q.results.dropped.Inc()
		}
		return gone
	})
}

// close makes the queue take no more.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		q.endLocked()
	}
}

// endLocked closes done when the last worker of a closed queue has ended.
func (q *queue) endLocked() {
	if q.closed && q.running == 0 {
		close(q.done)
	}
}

// wait returns how many blobs were not known to be written when ctx ended,
// and drops waiting blobs; 0 when all were.
func (q *queue) wait(ctx context.Context) int {
	select {
	case <-q.done:
		return 0
	default:
	}
	select {
	case <-q.done:
		return 0
	case <-ctx.Done():
		return q.abandon()
	}
}

func (q *queue) abandon() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	lost := len(q.waiting)
	q.results.dropped.Add(float64(lost))
	for _, w := range q.waiting {
		q.bytes -= w.weight()
	}
	q.waiting = nil
	return lost + q.running
}
