package wire

import (
	"encoding/binary"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/internal/sorted"
)

// latestMap reads the latest values of a node: most of the bytes of a report. Nodes
// of one topology mostly have the same keys, and many of the same values. The texts of
// the node before are then shared without a search.
func (d *decoder) latestMap() []report.Latest {
	list := d.latest.take(d, d.openMap())
	before := d.before
	ascends := true
	for i := range list {
		l, like := &list[i], &noLatest
		if i < len(before) {
			like = &before[i]
		}
		if !d.usualLatest(l, like) {
			key := d.text()
			if d.latestEntry(key, l); d.err != nil {
				d.within("[%.64q]", key)
				return nil
			}
		}
		ascends = ascends && (i == 0 || list[i-1].Key < l.Key)
	}
	d.depth--
	if !ascends {
		list = sorted.Unique(list, (*report.Latest).Compare)
	}
	d.before = list
	return list
}

var noLatest report.Latest

// The form in which every probe writes an entry: its key, latestHead, 15 bytes
// of time, latestBody, and the value.
const (
	latestHead = "\x82\xa9timestamp\xaf"
	latestBody = "\xa5value"
	timeLength = 15
	latestForm = len(latestHead) + timeLength + len(latestBody)
)

// usualLatest reads an entry that has the usual form. It returns false, and reads
// nothing, if the entry has another form. The texts are likely to equal the texts
// of like.
func (d *decoder) usualLatest(l, like *report.Latest) bool {
	in := d.in
	key, keyEnd := rawAt(in, d.at)
	if keyEnd == 0 || d.depth >= maxDepth || !isLatestHead(in, keyEnd) {
		return false
	}
	value, valueEnd := rawAt(in, keyEnd+latestForm)
	if valueEnd == 0 {
		return false
	}
	d.at = valueEnd
	if l.Key = like.Key; string(in[key:keyEnd]) != like.Key {
		l.Key = d.keys.get(in[key:keyEnd])
	}
	l.Timestamp = binaryInstant(in[keyEnd+len(latestHead):])
	if l.Value = like.Value; string(in[value:valueEnd]) != like.Value {
		l.Value = d.words.get(in[value:valueEnd])
	}
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
	return isWritable(binaryInstant(stamp)) && stamp[0] == 1 && string(form[:len(latestHead)]) == latestHead && string(form[len(latestHead)+timeLength:]) == latestBody
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

func (d *decoder) latestEntry(key string, l *report.Latest) {
	l.Key = key
	if t, ok := d.usualTime(latestHead, latestBody); ok {
		l.Timestamp, l.Value = t, d.text()
		d.withinIfFailed("value")
		return
	}
	for name := range d.fields {
		switch string(name) {
		case "timestamp":
			l.Timestamp = d.instant()
		case "value":
			l.Value = d.text()
		default:
			d.skip()
		}
	}
}
