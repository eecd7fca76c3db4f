package journal

import (
	"slices"
	"sync"
	"time"
)

const batchBytes = 4 << 20 // from which on a batch takes no further records

// entry is a record that waits to be written.
type entry struct {
	kind       byte
	meta, blob []byte
	body       uint32 // CRC32C of meta and blob
	size       int64
	id         uint64 // of a copy; of a new record it is set when it is written
	gone       bool   // its writer does not wait any more; guarded by the queue
	reserved   bool   // its size is counted by the ledger
	waited     bool   // somebody relies on it, though it calls records done

	seq    uint64 // where it was written
	offset int64
	err    error
	done   chan struct{} // closed when offset, id and err are there
}

func newEntry(kind byte, id uint64, meta, blob []byte) *entry {
	return &entry{kind: kind, id: id, meta: meta, blob: blob, body: checksum(meta, blob),
		size: headSize + int64(len(meta)) + int64(len(blob)), done: make(chan struct{})}
}

// queue holds the records that wait to be written.
type queue struct {
	wake chan struct{} // has one element when the writer has something to do

	mu      sync.Mutex // guards what follows
	waiting []*entry
	closed  bool
	fault   error // of the disk
	until   time.Time
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// add puts an entry in the queue. It returns the last fault of the disk at once
// while the disk is left alone.
func (q *queue) add(e *entry) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	if q.fault != nil && time.Now().Before(q.until) {
		return q.fault
	}
	q.waiting = append(q.waiting, e)
	q.kick()
	return nil
}

// kick makes the writer look for something to do.
func (q *queue) kick() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns the next batch.
func (q *queue) take() []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	var bytes int64
	n := 0
	for n < len(q.waiting) && (n == 0 || bytes+q.waiting[n].size <= batchBytes) {
		bytes += q.waiting[n].size
		n++
	}
	batch := q.waiting[:n:n]
	if q.waiting = q.waiting[n:]; len(q.waiting) > 0 {
		q.kick()
	}
	return batch
}

// finish closes the batch. It calls commit while no writer can leave.
func (q *queue) finish(batch []*entry, commit func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	commit()
	for _, e := range batch {
		close(e.done)
	}
}

// leave ends the wait for an entry. An entry that was not taken yet is never
// written. An entry that is being written is called done afterwards. written
// reports whether it is too late: the entry's outcome is known.
func (q *queue) leave(e *entry) (unwritten, written bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiting, e); i >= 0 {
		q.waiting = slices.Delete(slices.Clone(q.waiting), i, i+1)
		return true, false
	}
	select {
	case <-e.done:
		return false, true
	default:
		e.gone = true
		return false, false
	}
}

// pause refuses records for a while, after a fault of the disk.
func (q *queue) pause(err error, pause time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fault, q.until = err, time.Now().Add(pause)
}

// faultTold is for how long after a pause Stats tells the fault, when nothing was
// written since.
const faultTold = 10 * time.Second

// broken returns the last fault of the disk, unless a write has succeeded since or the
// fault is long ago.
func (q *queue) broken() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fault == nil || time.Since(q.until) > faultTold {
		return nil
	}
	return q.fault
}

// healthy ends a pause.
func (q *queue) healthy() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fault = nil
}

// close refuses further records.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}
