package journal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

// roll begins a new segment. The end of a suspect segment is moved into it;
// moved then maps the old offsets to the new ones.
func (w *writer) roll() (moved map[int64]int64, err error) {
	if full := w.active; full != nil && w.opts.Sync != Off && full.size > full.synced {
		if moved, err := w.sync(); err != nil || w.active != full {
			return moved, err // the sync failed and has begun a new segment, or could not
		}
	}
	first := w.seq + 1
	if w.suspect != nil {
		first = w.suspect.lastSynced + 1
	}
	s, err := createSegment(w.opts.files, w.dir, w.newest+1, first)
	if w.metrics.fault(err) != nil {
		return nil, fmt.Errorf("begin a new segment: %w", err)
	}
	if moved, err = w.replaceSuspect(s); err != nil {
		return nil, errors.Join(err, s.file.Close(), w.opts.files.Remove(s.path))
	}
	w.newest, w.active, w.suspect = s.id, s, nil
	w.state.set(false, func(v *stateValues) {
		v.newest = s.id
		v.oldest = max(v.oldest, 1)
	})
	w.keeper.kick()
	return moved, nil
}

// replaceSuspect moves a suspect segment's end into a new segment, and then makes
// the new one part of the journal: a kill in between finds the records in the old one.
func (w *writer) replaceSuspect(s *segment) (moved map[int64]int64, err error) {
	if w.suspect != nil {
		if moved, err = w.moveEnd(w.suspect, s); err != nil {
			return nil, err
		}
	}
	if err := w.metrics.fault(s.name(w.opts.files)); err != nil {
		return nil, fmt.Errorf("begin a new segment: %w", err)
	}
	if w.opts.Sync != Off {
		if err := w.metrics.fault(w.opts.files.SyncDir(w.dir)); err != nil {
			return nil, err
		}
	}
	w.ledger.grow(s)
	if old := w.suspect; old != nil {
		w.ledger.relocate(old, s, moved)
		old.size, old.lastSeq = old.synced, old.lastSynced
		_ = w.metrics.fault(old.file.Truncate(old.size)) // what stands there does not count anyway
	}
	return moved, nil
}

// loseAfterSync notes that records of a segment are lost.
func (w *writer) loseAfterSync(s *segment, offset, bytes int64, reason string) {
	w.lost = fmt.Errorf("records were lost after a failed sync, and may have said what is done: %s", reason)
	w.damage.add(Damage{File: filepath.Base(s.path), Offset: offset, Bytes: bytes, Reason: "after a failed sync: " + reason})
}

// moveEnd copies what is not known to be on the disk from a segment into a new
// one, with the same sequence numbers, and forces it to the disk. Every record
// is verified: after a failed sync a file may hold anything.
func (w *writer) moveEnd(old, s *segment) (map[int64]int64, error) {
	moved := make(map[int64]int64)
	out := bufio.NewWriterSize(io.NewOffsetWriter(s.file, s.size), 256<<10)
	in := newScanner(old.file, old.size, old.mark)
	in.at = old.synced
	for {
		h, offset, before, ok := in.next()
		if before.bytes > 0 {
			w.loseAfterSync(old, before.offset, before.bytes, before.reason)
		}
		if !ok {
			break
		}
		_, meta, blob, err := old.read(place{old, offset, h.size()}, h.id)
		if corrupt, is := errors.AsType[*CorruptError](err); is { // since it was scanned
			w.loseAfterSync(old, offset, h.size(), corrupt.Error())
			continue
		}
		if w.metrics.fault(err) != nil {
			return nil, err // the disk may give it another time
		}
		writeRecord(out, h, s.mark, meta, blob)
		moved[offset] = s.size
		s.size, s.lastSeq = s.size+h.size(), h.seq
	}
	err := out.Flush()
	if err == nil && w.opts.Sync != Off {
		err = s.file.Sync()
	}
	s.synced, s.lastSynced, s.bytes = s.size, s.lastSeq, s.size
	return moved, w.metrics.fault(err)
}
