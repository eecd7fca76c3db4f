package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// recovery reads a directory into a ledger.
type recovery struct {
	dir    string
	opts   *Options
	ledger *ledger
	damage *damages
	faults func(error) error

	names []string // of the segments' files
	wrong bool     // a segment's file had a wrong name
	state stateValues
	known bool   // STATE was there
	seq   uint64 // of the last record
	begun bool   // seq is known
	last  uint64 // id of the segment before
}

func (r *recovery) run() error {
	r.state, r.known = readState(r.opts.files, r.dir)
	segments, err := r.segments()
	if err != nil {
		return err
	}
	if !r.known && len(segments) > 0 {
		r.damage.add(Damage{File: stateName, Torn: true, Reason: "the file is missing or damaged, so missing segments cannot be told from removed ones"})
		r.state = stateValues{oldest: segments[0].id, newest: segments[len(segments)-1].id}
	}
	if segments, err = r.inOrder(segments); err != nil {
		return err
	}
	for i, s := range segments {
		r.missingFiles(s)
		r.state.newest = max(r.state.newest, s.id)
		s.bytes = r.read(s, segments[i+1:])
		r.ledger.grow(s)
		r.last = s.id
	}
	r.missingEnd()
	r.seq = max(r.seq, r.state.acked, r.state.done)
	return nil
}

// segments opens all segments, by id, and removes what a crash left.
func (r *recovery) segments() ([]*segment, error) {
	names, err := r.opts.files.Names(r.dir)
	if err != nil {
		return nil, err
	}
	r.names = segmentsAmong(names)
	var segments []*segment
	for _, name := range names {
		if strings.HasSuffix(name, newSuffix) && !r.opts.ReadOnly {
			_ = r.faults(r.opts.files.Remove(filepath.Join(r.dir, name)))
		}
		id, ok := segmentID(name)
		if !ok {
			continue
		}
		s, err := r.open(name, id)
		if err != nil {
			closeAll(segments)
			return nil, err
		}
		segments = append(segments, s)
	}
	slices.SortStableFunc(segments, func(a, b *segment) int { return cmp.Compare(a.id, b.id) })
	return segments, nil
}

// open opens one segment. Where the header is damaged, the name says the id
// and the first record the rest.
func (r *recovery) open(name string, id uint64) (*segment, error) {
	s := &segment{path: filepath.Join(r.dir, name)}
	var err error
	if s.file, err = r.opts.files.Open(s.path, os.O_RDONLY); err != nil {
		return nil, err
	}
	info, err := s.file.Stat()
	if err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	s.size, s.touched = info.Size(), info.ModTime()
	b := make([]byte, min(s.size, headerSize+headSize))
	if _, err = s.file.ReadAt(b, 0); err == nil || err == io.EOF {
		s.header, err = parseHeader(b)
	}
	if _, newer := errors.AsType[*VersionError](err); newer {
		return nil, errors.Join(err, s.file.Close())
	}
	if err != nil {
		s.id, s.damaged = id, true
		r.damage.add(Damage{File: name, Bytes: min(s.size, headerSize), Reason: err.Error(), Torn: s.size <= headerSize && id > r.state.newest})
		s.mark = findMark(s.file, s.size)
	} else if s.id != id {
		r.damage.add(Damage{File: name, Reason: fmt.Sprintf("the file's name is wrong: it is %s", segmentName(s.id))})
	}
	return s, nil
}

// inOrder leaves out segments that were removed before and copies of others,
// and gives each file its name. A file that keeps a wrong name is an error: a new segment
// could take its place.
func (r *recovery) inOrder(segments []*segment) (ordered []*segment, err error) {
	for _, s := range segments {
		base := filepath.Base(s.path)
		r.wrong = r.wrong || base != segmentName(s.id)
		last := len(ordered) - 1
		switch {
		case s.id < r.state.oldest:
			r.leftover(s)
		case last >= 0 && ordered[last].id == s.id:
			r.damage.add(Damage{File: base, Bytes: s.size, Reason: "the file is a copy of another segment"})
			err = errors.Join(err, r.aside(s))
		default:
			ordered = append(ordered, s)
		}
	}
	for _, suffix := range []string{movingSuffix, ""} {
		if err == nil && !r.opts.ReadOnly {
			err = r.rename(ordered, suffix)
		}
	}
	if err != nil {
		closeAll(ordered)
		return nil, err
	}
	return ordered, nil
}

// leftover removes a segment that was to be removed before a crash.
func (r *recovery) leftover(s *segment) {
	_ = r.faults(s.file.Close())
	if !r.opts.ReadOnly {
		_ = r.faults(r.opts.files.Remove(s.path))
	}
}

// aside keeps a file that is not read under another name.
func (r *recovery) aside(s *segment) error {
	_ = r.faults(s.file.Close())
	if r.opts.ReadOnly {
		return nil
	}
	return r.faults(r.opts.files.Rename(s.path, asideName(s.path)))
}

// rename gives segments whose name is wrong the right one, with a suffix.
func (r *recovery) rename(segments []*segment, suffix string) error {
	for _, s := range segments {
		right := filepath.Join(r.dir, segmentName(s.id))
		if s.path == right {
			continue
		}
		if err := r.faults(r.opts.files.Rename(s.path, right+suffix)); err != nil {
			return fmt.Errorf("the name of a segment's file is wrong: %w", err)
		}
		s.path = right + suffix
	}
	return nil
}

// missingFiles tells segments that should stand before s and are not there.
func (r *recovery) missingFiles(s *segment) {
	next := r.state.oldest
	if r.last > 0 {
		next = r.last + 1
	}
	if next == 0 || next >= s.id {
		return
	}
	d := Damage{File: segmentName(next), Reason: fmt.Sprintf("%d segments are missing", s.id-next)}
	if r.begun && s.first > r.seq+1 {
		d.First, d.Last = r.seq+1, s.first-1
		r.seq = s.first - 1
	}
	r.damage.add(d)
}

// missingEnd tells what is missing after the last segment.
func (r *recovery) missingEnd() {
	if !r.known || r.last >= r.state.newest {
		return
	}
	d := Damage{File: segmentName(max(r.last+1, r.state.oldest)), Reason: "the last segments are missing"}
	if r.state.acked > r.seq {
		d.First, d.Last = r.seq+1, r.state.acked
	}
	r.damage.add(d)
}

// read puts a segment's records in the ledger. It returns where they end.
func (r *recovery) read(s *segment, later []*segment) (end int64) {
	limit := uint64(math.MaxUint64)                                    // records from it on do not count
	if len(later) > 0 && later[0].first > 0 && later[0].id == s.id+1 { // else missingFiles tells what is missing
		limit = later[0].first
	}
	if s.first > 0 && !r.begun {
		r.seq, r.begun = s.first-1, true
	}
	scan := newScanner(s.file, s.size, s.mark)
	end = min(headerSize, s.size)
	for {
		h, offset, before, ok := scan.next()
		if !ok || h.seq >= limit {
			r.finish(s, limit, before, len(later) == 0)
			return end
		}
		if r.check(s, h, before) {
			r.place(scan, s, h, offset)
		}
		end = offset + h.size()
	}
}

// check compares a record's sequence number with the one before, and tells
// what is missing. It reports whether the record counts.
func (r *recovery) check(s *segment, h head, before gap) bool {
	d := Damage{File: filepath.Base(s.path), Offset: before.offset, Bytes: before.bytes, Reason: before.reason}
	switch {
	case r.begun && h.seq <= r.seq:
		d.Reason = fmt.Sprintf("record %d stands after record %d", h.seq, r.seq)
	case r.begun && h.seq > r.seq+1:
		d.First, d.Last = r.seq+1, h.seq-1
		if d.Reason == "" {
			d.Reason = "records are missing"
		}
	case before.bytes == 0:
		r.seq, r.begun = h.seq, true
		return true
	}
	r.damage.add(d)
	s.damaged = true
	counts := h.seq > r.seq
	r.seq, r.begun = max(r.seq, h.seq), true
	return counts
}

// finish tells what is wrong at a segment's end. Bytes after the last record
// are no damage when the next segment goes on without a gap: they are what was
// left of a write that failed.
func (r *recovery) finish(s *segment, limit uint64, rest gap, last bool) {
	next := limit
	if last {
		next = max(r.seq, r.state.acked) + 1
	}
	missing := next != math.MaxUint64 && next > r.seq+1
	ends := last && r.state.newest <= s.id
	if last && !ends { // missingEnd tells it
		missing = false
	}
	s.damaged = s.damaged || rest.bytes > 0
	if !missing && (!last || rest.bytes == 0) {
		return
	}
	d := Damage{File: filepath.Base(s.path), Offset: rest.offset, Bytes: rest.bytes, Torn: ends && !missing, Reason: rest.reason}
	if missing {
		d.First, d.Last = r.seq+1, next-1
		if !last {
			r.seq = next - 1
		}
		if d.Reason == "" {
			d.Reason = "the file ends early"
		}
	}
	r.damage.add(d)
}

// place notes a record that is not done, or the records that it calls done.
func (r *recovery) place(scan *scanner, s *segment, h head, offset int64) {
	if h.kind != kindEnd {
		if h.id > r.state.done {
			r.ledger.found(h.id, place{s, offset, h.size()})
		}
		return
	}
	meta := scan.meta(h, offset)
	if !parseEnds(meta, r.ledger.discard) || len(meta) < int(h.meta) {
		r.damage.add(Damage{File: filepath.Base(s.path), Offset: offset, Bytes: h.size(), Reason: "a list of records that are done is damaged"})
	}
}
