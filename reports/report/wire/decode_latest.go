package wire

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/timeblob/timeblob/reports/report"
)

// latestAt says where an entry of a map of latest values stands in the input. It
// holds no pointers, so that entries are sorted before anything is allocated.
type latestAt struct {
	prefix          uint64 // the first bytes of the key, big endian
	seconds         int64  // of the timestamp, since 1970
	nanos           uint32
	key, keyEnd     uint32
	value, valueEnd uint32
}

// latestMap reads the latest values of a node: most of the bytes of a report.
func (d *decoder) latestMap() []report.Latest {
	at, depth := d.at, d.depth
	if n := d.openMap(); d.findLatest(n) {
		d.depth--
		return d.takeLatest(d.sortLatest())
	}
	d.at, d.depth = at, depth
	return keyed(d, &d.latest, (*decoder).latestEntry, (*report.Latest).Compare)
}

// The form in which every probe writes an entry: its key, latestHead, 15 bytes
// of time, latestBody, and the value.
const (
	latestHead = "\x82\xa9timestamp\xaf"
	latestBody = "\xa5value"
	timeLength = 15
	latestForm = len(latestHead) + timeLength + len(latestBody)
)

// findLatest finds the n entries of a map in d.found if all have the usual form.
// Otherwise it returns false, and the map must be read from its start.
func (d *decoder) findLatest(n int) bool {
	if d.err != nil || d.depth >= maxDepth || uint64(len(d.in)) > math.MaxUint32 {
		return false
	}
	in, at := d.in, d.at
	d.found = d.found[:0]
	for range n {
		key, keyEnd := rawAt(in, at)
		if keyEnd == 0 || !isLatestHead(in, keyEnd) {
			return false
		}
		seconds, nanos, _ := binaryTime(in[keyEnd+len(latestHead):])
		value, valueEnd := rawAt(in, keyEnd+latestForm)
		if valueEnd == 0 {
			return false
		}
		d.found = append(d.found, latestAt{prefixOf(in[key:], keyEnd-key), seconds, nanos,
			uint32(key), uint32(keyEnd), uint32(value), uint32(valueEnd)})
		at = valueEnd
	}
	d.at = at
	return true
}

// isLatestHead reports whether what stands between the key and the value of an
// entry begins at a place of the input, in its usual form and with a time that
// every format can write.
func isLatestHead(in []byte, at int) bool {
	if len(in)-at < latestForm {
		return false
	}
	form := in[at : at+latestForm]
	stamp := form[len(latestHead) : len(latestHead)+timeLength]
	_, _, ok := binaryTime(stamp)
	return ok && stamp[0] == 1 && string(form[:len(latestHead)]) == latestHead && string(form[len(latestHead)+timeLength:]) == latestBody
}

// rawAt returns where the string that is encoded at in[at:] begins and ends. The
// end is 0 when there is no string in the raw format.
func rawAt(in []byte, at int) (begin, end int) {
	if at < len(in) {
		if n := int(in[at] ^ mpFixRaw); n < 32 {
			if end = at + 1 + n; end <= len(in) {
				return at + 1, end
			}
			return 0, 0
		}
	}
	return longRawAt(in, at)
}

func longRawAt(in []byte, at int) (begin, end int) {
	switch {
	case at+3 <= len(in) && in[at] == mpRaw16:
		begin = at + 3
		end = begin + int(binary.BigEndian.Uint16(in[at+1:]))
	case at+5 <= len(in) && in[at] == mpRaw32:
		begin = at + 5
		end = begin + int(binary.BigEndian.Uint32(in[at+1:]))
	}
	if end > len(in) {
		return 0, 0
	}
	return begin, end
}

// prefixOf returns the first 8 bytes of a text of n bytes, padded by zeros: texts
// with different prefixes are in the order of these. Data holds the text and at
// least 8 bytes.
func prefixOf(data []byte, n int) uint64 {
	prefix := binary.BigEndian.Uint64(data)
	if n < 8 {
		prefix &= ^uint64(0) << (64 - 8*n)
	}
	return prefix
}

// fewLatest is how many entries are sorted by inserting one after the other:
// most nodes hold fewer.
const fewLatest = 24

// sortLatest sorts what was found, and keeps the last of each key.
func (d *decoder) sortLatest() []latestAt {
	found := d.found
	if len(found) > fewLatest {
		slices.SortStableFunc(found, d.compareLatest)
	} else {
		d.insertLatest(found)
	}
	for i := 1; i < len(found); i++ {
		if found[i-1].prefix == found[i].prefix && d.compareLatest(found[i-1], found[i]) == 0 {
			return d.lastLatest(found)
		}
	}
	return found
}

// insertLatest sorts a short list. Entries of equal keys keep their order.
func (d *decoder) insertLatest(found []latestAt) {
	for i := 1; i < len(found); i++ {
		if d.compareLatest(found[i], found[i-1]) >= 0 {
			continue
		}
		f, j := found[i], i
		for j > 0 && d.compareLatest(f, found[j-1]) < 0 {
			found[j] = found[j-1]
			j--
		}
		found[j] = f
	}
}

// lastLatest keeps the last of the entries of each key.
func (d *decoder) lastLatest(found []latestAt) []latestAt {
	kept := found[:0]
	for i := range found {
		if i+1 == len(found) || d.compareLatest(found[i], found[i+1]) != 0 {
			kept = append(kept, found[i])
		}
	}
	return kept
}

func (d *decoder) compareLatest(a, b latestAt) int {
	if a.prefix != b.prefix {
		return cmp.Compare(a.prefix, b.prefix)
	}
	return bytes.Compare(d.in[a.key:a.keyEnd], d.in[b.key:b.keyEnd])
}

// takeLatest makes the entries that were found.
func (d *decoder) takeLatest(found []latestAt) []report.Latest {
	list := d.latest.take(d, len(found))
	for i := range list {
		f, l := &found[i], &list[i]
		l.Key = d.keys.get(d.in[f.key:f.keyEnd])
		l.Timestamp = time.Unix(f.seconds, int64(f.nanos)).UTC()
		l.Value = d.words.get(d.in[f.value:f.valueEnd])
	}
	return list
}
