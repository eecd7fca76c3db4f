package journal

import (
	"cmp"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// place is where a record stands.
type place struct {
	seg    *segment
	offset int64
	size   int64
}

// ledger knows which records are not done, where they stand, and how many
// bytes the journal has.
type ledger struct {
	metrics *metrics

	mu        sync.Mutex // guards what follows, and the segments' counts
	live      map[uint64]place
	corrupt   map[uint64]error // of records that were live and cannot be read, until End
	segments  []*segment       // by id; the last one may still grow
	ends      [][]uint64       // records that are done, which no record says yet, by call of End
	bytes     int64            // of all segments
	liveBytes int64            // of records that are not done
	reserved  int64            // of records that are being written
	last      uint64           // the last record that was written
	low       uint64           // every record before it is done
}

func newLedger(m *metrics) *ledger {
	return &ledger{metrics: m, live: make(map[uint64]place), corrupt: make(map[uint64]error)}
}

// reserve counts the bytes of a record that will be written, unless the files
// would grow past the limit.
func (l *ledger) reserve(size, limit int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if used := l.bytes + l.reserved; used+size > limit {
		return &FullError{Bytes: used, Limit: limit, Size: size}
	}
	l.reserved += size
	return nil
}

func (l *ledger) unreserve(size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reserved -= size
}

// prepare returns the entries that a batch must hold, copies of records that
// are done left out, and the numbers of records that the batch must call done.
// Both are looked at in one step: no copy of a record comes after the record
// that calls it done.
func (l *ledger) prepare(batch []*entry) (entries []*entry, ends [][]uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ends, l.ends = l.ends, nil
	for _, e := range batch {
		if _, ok := l.live[e.id]; ok || e.id == 0 {
			entries = append(entries, e)
		}
	}
	return entries, ends
}

// restore takes back numbers that could not be written.
func (l *ledger) restore(ends [][]uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends = append(ends, l.ends...)
}

// grow adds a new segment.
func (l *ledger) grow(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append(l.segments, s)
	l.count(s.bytes)
}

// wrote counts what was appended to a segment and where its records stand.
func (l *ledger) wrote(s *segment, size int64, entries []*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(size - s.bytes)
	s.bytes, s.touched = size, time.Now()
	for _, e := range entries {
		l.last = max(l.last, e.seq)
		if e.kind == kindEnd || e.err != nil {
			continue
		}
		if e.gone { // its writer waits no longer and never learns the number
			l.ends = append(l.ends, []uint64{e.id})
			continue
		}
		if _, ok := l.live[e.id]; ok || e.id == e.seq { // else a copy of a record that is done since
			l.put(e.id, place{seg: s, offset: e.offset, size: e.size})
		}
	}
}

// relocate notes that the end of a segment, from what is on its disk on, now
// stands in another one. Records that moved does not have are lost.
func (l *ledger) relocate(from, to *segment, moved map[int64]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, p := range l.live {
		if p.seg != from || p.offset < from.synced {
			continue
		}
		if offset, ok := moved[p.offset]; ok {
			l.put(id, place{to, offset, p.size})
		} else {
			l.drop(id)
		}
	}
	l.count(from.synced - from.bytes)
	from.bytes, from.damaged = from.synced, true
}

// count adds to the journal's bytes. The caller holds mu.
func (l *ledger) count(n int64) {
	l.bytes += n
	l.metrics.bytes.Add(float64(n))
}

// put notes where a record stands, now or from now on. The caller holds mu.
func (l *ledger) put(id uint64, p place) {
	l.drop(id)
	l.live[id] = p
	l.liveBytes += p.size
	p.seg.live++
	l.metrics.records.Inc()
}

// drop forgets a record. The caller holds mu.
func (l *ledger) drop(id uint64) bool {
	p, ok := l.live[id]
	if !ok {
		return false
	}
	delete(l.live, id)
	p.seg.live--
	l.liveBytes -= p.size
	l.metrics.records.Dec()
	return true
}

// found notes where a record stands.
func (l *ledger) found(id uint64, p place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.put(id, p)
}

// discard forgets a record that another record calls done.
func (l *ledger) discard(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(id)
}

// lost forgets a record that cannot be read, if it still stands there, so that it keeps no
// segment. Its own segment will be kept aside. Until End, place returns why.
func (l *ledger) lost(id uint64, at place, why error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live[id] != at {
		return false
	}
	at.seg.damaged = true
	l.corrupt[id] = why
	return l.drop(id)
}

// end forgets records that are done.
func (l *ledger) end(ids []uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var done []uint64
	for _, id := range ids {
		delete(l.corrupt, id)
		if l.drop(id) {
			done = append(done, id)
		}
	}
	if len(done) > 0 {
		l.ends = append(l.ends, done)
	}
}

// ended reports whether numbers of done records wait to be written.
func (l *ledger) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ends) > 0
}

// begin notes the last record that was recovered, and the first one that is not done.
func (l *ledger) begin(last uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.low = last, last+1
	for id := range l.live {
		l.low = min(l.low, id)
	}
}

// newest returns the number of the last record.
func (l *ledger) newest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// done returns a number up to which every record is done. It looks at so many further
// records at most. A record that is lost may be found by the next process, so it is not done.
func (l *ledger) done(most int) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; most > 0 && l.low <= l.last; most-- {
		if _, ok := l.live[l.low]; ok || l.corrupt[l.low] != nil {
			break
		}
		l.low++
	}
	return l.low - 1
}

// place returns where a record stands that is not done. The error is a *NotFoundError,
// ErrClosed, or the reason why the record is lost.
func (l *ledger) place(id uint64) (place, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live == nil {
		return place{}, ErrClosed
	}
	p, ok := l.live[id]
	if why := l.corrupt[id]; !ok && why != nil {
		return place{}, why
	}
	if !ok {
		return place{}, &NotFoundError{ID: id}
	}
	return p, nil
}

// extent is a segment and how far its records reach.
type extent struct {
	*segment
	bytes int64
}

// all returns the segments, the oldest first, and the records that are not
// done, in no order.
func (l *ledger) all() (segments []extent, records []listed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		segments = append(segments, extent{s, s.bytes})
	}
	for id, p := range l.live {
		records = append(records, listed{id, p})
	}
	return segments, records
}

// oldest returns the oldest segment, nil when it is the one that grows, and
// what may be done with it: removed, or moved to the end of the journal. most
// is the most bytes that the journal may have, and from limit on it refuses records.
func (l *ledger) oldest(keep time.Duration, most, limit int64) (front *segment, remove, move bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) < 2 {
		return nil, false, false
	}
	s := l.segments[0]
	over, full := l.bytes > most/2, l.bytes > limit-limit/16
	remove = s.live == 0 && (over || time.Since(s.touched) >= keep)
	done := l.bytes - l.liveBytes
	move = s.live > 0 && (over && done >= l.bytes/4 || full && done >= l.bytes/16)
	return s, remove, move
}

// standing returns the records that stand in a segment, in the order of the
// file. It costs a look at every record that is not done.
func (l *ledger) standing(s *segment) (ids []uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, p := range l.live {
		if p.seg == s {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b uint64) int { return cmp.Compare(l.live[a].offset, l.live[b].offset) })
	return ids
}

// after returns the id of the second segment, and whether the first one is to
// be kept aside when it goes.
func (l *ledger) after() (next uint64, aside bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.segments[1].id, l.segments[0].damaged
}

// remove takes the oldest segment away.
func (l *ledger) remove() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(-l.segments[0].bytes)
	l.segments = slices.Delete(l.segments, 0, 1)
}

// files returns the names of the segments' files.
func (l *ledger) files() (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		names = append(names, filepath.Base(s.path))
	}
	return names
}

// totals returns the bytes of all segments, and the bytes and the number of records that are not done.
func (l *ledger) totals() (bytes, liveBytes int64, live int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes, l.liveBytes, len(l.live)
}

// close takes the journal out of the metrics and returns its segments.
func (l *ledger) close() []*segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.metrics.bytes.Sub(float64(l.bytes))
	l.metrics.records.Sub(float64(len(l.live)))
	segments := l.segments
	l.segments, l.live, l.bytes, l.liveBytes = nil, nil, 0, 0
	return segments
}
