package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// Replay calls visit for every record that the journal holds, in the order in
// which they were written first. Records that are done are among them while
// their segment is there, see Options.Keep. The bytes are visit's to keep. It
// ends at the first error of visit and returns it. It may leave out records that
// are appended meanwhile, and leaves out damaged records, which Damage tells.
//
// It is meant for the time after Open. It costs two reads of the files and
// some 40 bytes more of memory for each record.
func (j *Journal) Replay(visit func(id uint64, kind byte, meta, blob []byte, done bool) error) error {
	for _, r := range j.list() {
		kind, meta, blob, done, err := j.readAny(r)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrClosed) {
			continue // done since, and its segment removed
		}
		if _, corrupt := errors.AsType[*CorruptError](err); corrupt {
			continue // Damage tells it
		}
		if err != nil {
			return fmt.Errorf("journal: replay: %w", err)
		}
		if err := visit(r.id, kind, meta, blob, done); err != nil {
			return err
		}
	}
	return nil
}

// listed is a record that list has found in a segment.
type listed struct {
	id uint64
	place
}

// list returns every record once, by number. Their places come from the ledger for records that are not done, because their places may change during the scan.
func (j *Journal) list() []listed {
	extents, all := j.ledger.all()
	for _, x := range extents {
		s := newScanner(x.file, x.bytes, x.mark)
		for h, offset, _, ok := s.next(); ok; h, offset, _, ok = s.next() {
			if h.kind != kindEnd {
				all = append(all, listed{h.id, place{x.segment, offset, h.size()}})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b listed) int { return cmp.Compare(a.id, b.id) })
	return slices.CompactFunc(all, func(a, b listed) bool { return a.id == b.id })
}

// readAny reads a record, done or not.
func (j *Journal) readAny(r listed) (kind byte, meta, blob []byte, done bool, err error) {
	kind, meta, blob, err = j.Read(r.id)
	if errors.Is(err, fs.ErrNotExist) {
		kind, meta, blob, err = r.seg.read(r.place, r.id)
		done = true
	}
	return kind, meta, blob, done, err
}
