package journal

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"time"
)

// writer is the one goroutine that writes records. Whatever waits while it
// writes and syncs is its next batch, so that all of it shares one sync.
type writer struct {
	*Journal
	buffer *bufio.Writer
	stop   chan struct{}
	ended  chan struct{}
	err    error // of the last sync; set before ended is closed

	// The goroutine alone uses these.
	active  *segment // nil before the first record, and after a fault
	suspect *segment // its end is not on the disk, and it is not trusted any more
	newest  uint64   // id of the newest segment there was
	seq     uint64   // of the last record
	lost    error    // why records of what is done may be gone; nil: they are not
}

func newWriter(j *Journal, seq, newest uint64) *writer {
	return &writer{Journal: j, buffer: bufio.NewWriterSize(nil, 256<<10), seq: seq, newest: newest,
		stop: make(chan struct{}), ended: make(chan struct{})}
}

func (w *writer) run() {
	defer close(w.ended)
	var tick <-chan time.Time
	if w.opts.Sync == Interval {
		ticker := time.NewTicker(w.opts.Every)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-w.queue.wake:
			w.commit(w.queue.take())
		case <-tick:
			w.outcome(w.flush())
		case <-w.stop:
			for batch := w.queue.take(); len(batch) > 0; batch = w.queue.take() {
				w.commit(batch)
			}
			w.commit(nil)
			w.err = w.flush()
			return
		}
	}
}

// close ends the goroutine when all that waits is written.
func (w *writer) close() error {
	close(w.stop)
	<-w.ended
	return w.err
}

// commit writes a batch, and lets those go who wait for it.
func (w *writer) commit(batch []*entry) {
	entries, ends := w.ledger.prepare(batch)
	entries = append(entries, endEntries(ends)...)
	var err error
	if len(entries) > 0 {
		err = w.store(entries)
		w.outcome(err)
	}
	if err != nil {
		w.ledger.restore(ends)
	}
	w.queue.finish(batch, func() {
		for _, e := range batch {
			switch {
			case err != nil:
				e.err = err
			case e.kind == kindEnd && w.lost != nil:
				e.err = w.lost
			}
			if e.reserved {
				w.ledger.unreserve(e.size)
			}
		}
		if err == nil && len(entries) > 0 {
			w.ledger.wrote(w.active, w.active.size, entries)
		}
	})
}

// outcome notes whether the disk works.
func (w *writer) outcome(err error) {
	if err != nil {
		w.queue.pause(err, w.opts.pause)
	} else {
		w.queue.healthy()
	}
}

// endEntries returns records that call others done. The numbers of one call of End stand in
// one record, so that a crash takes back all of them or none. More than endsAtATime
// stand in several, in their order.
func endEntries(calls [][]uint64) (entries []*entry) {
	var ids []uint64
	write := func() {
		if len(ids) > 0 {
			entries = append(entries, newEntry(kindEnd, 0, appendEnds(nil, ids), nil))
			ids = ids[:0]
		}
	}
	for _, call := range calls {
		for part := range slices.Chunk(call, endsAtATime) {
			if len(ids)+len(part) > endsAtATime {
				write()
			}
			ids = append(ids, part...)
		}
	}
	write()
	return entries
}

// store appends entries to the active segment as the mode demands. With an
// error none of them is in the journal.
func (w *writer) store(entries []*entry) error {
	if w.active == nil || w.active.size >= w.opts.SegmentBytes {
		if _, err := w.roll(); err != nil {
			return err
		}
	}
	seg, size, seq := w.active, w.active.size, w.seq
	if err := w.write(entries); err != nil {
		w.undo(seg, size, seq)
		return err
	}
	if w.mustForce(entries) {
		if err := w.force(entries); err != nil {
			w.undo(seg, size, seq)
			return err
		}
	}
	w.state.set(false, func(v *stateValues) { v.acked = w.seq })
	return nil
}

// mustForce reports whether entries must be on the disk before anybody relies on them. In
// mode Interval these are copies: the file of the original, which may be on the disk for
// long, is removed next.
func (w *writer) mustForce(entries []*entry) bool {
	return slices.ContainsFunc(entries, func(e *entry) bool {
		isCopy := e.id != e.seq
		return (e.kind != kindEnd || e.waited) && (w.opts.Sync == Always || w.opts.Sync == Interval && isCopy)
	})
}

// write appends entries to the active segment.
func (w *writer) write(entries []*entry) error {
	s := w.active
	w.buffer.Reset(io.NewOffsetWriter(s.file, s.size))
	end := s.size
	for _, e := range entries {
		w.seq++
		e.seq, e.offset, e.err = w.seq, end, nil
		if e.id == 0 {
			e.id = e.seq
		}
		end += e.size
		writeRecord(w.buffer, head{seq: e.seq, id: e.id, kind: e.kind, meta: uint32(len(e.meta)), blob: uint32(len(e.blob)), body: e.body}, s.mark, e.meta, e.blob)
	}
	if err := w.metrics.fault(w.buffer.Flush()); err != nil {
		return err
	}
	s.size, s.lastSeq = end, w.seq
	return nil
}

// writeRecord writes one record. The writer remembers its first error.
func writeRecord(b *bufio.Writer, h head, m mark, meta, blob []byte) {
	_, _ = b.Write(h.append(make([]byte, 0, headSize), m))
	_, _ = b.Write(meta)
	_, _ = b.Write(blob)
}

// undo takes back what was written to a segment from size on. A segment that
// cannot be cut gets no further records: the next segment's header says that
// what stands from size on does not count.
func (w *writer) undo(s *segment, size int64, seq uint64) {
	w.seq = seq
	s.size, s.lastSeq = size, seq
	if w.metrics.fault(s.file.Truncate(size)) == nil || w.active != s {
		return
	}
	w.active = nil
	if w.opts.Sync != Off && s.size > s.synced {
		w.suspect = s
	}
}

// force syncs the active segment. Entries that the failure of a sync moved get
// their new offsets, and lost entries get an error.
func (w *writer) force(entries []*entry) error {
	moved, err := w.sync()
	if err != nil || moved == nil {
		return err
	}
	for _, e := range entries {
		to, ok := moved[e.offset]
		if e.offset = to; !ok {
			e.err = errors.New("a sync failed and the record could not be read again")
		}
	}
	return nil
}

// flush syncs what is not on the disk yet.
func (w *writer) flush() error {
	switch {
	case w.opts.Sync == Off:
		return nil
	case w.active != nil && w.active.size > w.active.synced:
		_, err := w.sync()
		return err
	case w.active == nil && w.suspect != nil:
		_, err := w.roll()
		return err
	}
	return nil
}

// sync forces the active segment to the disk. After a failure the operating
// system may call pages clean that never reached the disk, and a second sync
// would lie. So the segment is not used any more, and records that may not be on the disk are written again, to a new segment. moved then maps the old
// offsets to the new ones.
func (w *writer) sync() (moved map[int64]int64, err error) {
	s, began := w.active, time.Now()
	if err := w.metrics.fault(s.file.Sync()); err == nil {
		w.metrics.sync.Observe(time.Since(began).Seconds())
		s.synced, s.lastSynced = s.size, s.lastSeq
		return nil, nil
	}
	w.suspect, w.active = s, nil
	return w.roll()
}
