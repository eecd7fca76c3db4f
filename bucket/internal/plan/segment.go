package plan

import (
	"time"

	"github.com/timeblob/timeblob/index"
)

// segment is the part of a range that lies in one quantum, and its entries, at least one.
type segment struct {
	number   int64 // of the quantum: its start divided by its length
	from, to int64 // Unix nanoseconds; the whole quantum unless the range cuts it
	whole    bool
	entries  []index.Entry // ascending
	tenant   string
}

// split cuts the ascending entries of [from, to) at the quanta's edges. It
// costs what there are entries; quanta without any cost nothing.
func split(entries []index.Entry, from, to, quantum int64) []segment {
	var segments []segment
	for len(entries) > 0 {
		s := segmentAt(entries[0].Time, from, to, quantum)
		n := 1
		for n < len(entries) && entries[n].Time < s.to {
			n++
		}
		s.entries, entries = entries[:n:n], entries[n:]
		segments = append(segments, s)
	}
	return segments
}

// segmentAt returns the segment of [from, to) that holds t, which is in the range.
// It computes with distances from t, as unsigned numbers, because the ends of
// the quanta at both ends of time are not within int64.
func segmentAt(t, from, to, quantum int64) segment {
	number := index.Floor(t, quantum)
	behind := uint64(t) - uint64(number)*uint64(quantum) // since the quantum began
	ahead := uint64(quantum) - behind                    // until it ends
	s := segment{number: number, from: from, to: to}
	begins, ends := uint64(t)-uint64(from) >= behind, uint64(to)-uint64(t) >= ahead
	if begins {
		s.from = t - int64(behind)
	}
	if ends {
		s.to = t + int64(ahead)
	}
	s.whole = begins && ends
	return s
}

// batchOf returns how many of the first segments have at most that many entries
// and bytes together; 1 where the first alone has more, 0 when there are none.
// Weigh estimates the bytes of a segment's values.
func batchOf(segments []segment, most int, bytes int64, weigh func([]index.Entry) int64) int {
	n := 0
	for _, s := range segments {
		most, bytes = most-len(s.entries), bytes-weigh(s.entries)
		if (most < 0 || bytes < 0) && n > 0 {
			break
		}
		n++
	}
	return n
}

func (s segment) String() string {
	kind := "part of a quantum"
	if s.whole {
		kind = "quantum"
	}
	return kind + " from " + instant(s.from) + " to " + instant(s.to)
}

// instant writes Unix nanoseconds for people.
func instant(t int64) string {
	return time.Unix(0, t).UTC().Format(time.RFC3339Nano)
}
