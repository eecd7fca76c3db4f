package wire

import (
	"encoding/binary"
	"slices"
	"sort"
	"unsafe"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/internal/sorted"
)

// latestMap reads the latest values of a node: most of the bytes of a report. Nodes
// with as many values mostly have the same keys, and many of the same values. The keys
// and texts of the last such node are then shared without a search.
func (d *decoder) latestMap() report.Values {
	list := d.latest.take(d, d.openMap())
	before := &d.before[len(list)%len(d.before)]
	known := before.Keys().Names()
	same := d.knownLatest(list, known, before.Stamped())
	names := known[:same]
	if same < len(list) {
		names = append(slices.Grow(d.names[:0], len(list)), names...)
		names = d.otherLatest(names, list, before.Stamped())
		d.names = names
	}
	if d.err != nil || len(list) == 0 {
		return report.Values{}
	}
	d.depth--
	if len(names) == same && same == len(known) {
		*before = report.ValuesUnder(before.Keys(), list)
	} else {
		*before = d.values(list, names)
	}
	return *before
}

// knownLatest reads entries into a list, as long as their keys are the known ones and
// they have the usual form. It returns how many it has read. Most values are likely to
// equal the values of like.
func (d *decoder) knownLatest(list []report.Stamped, known []string, like []report.Stamped) (n int) {
	if d.depth >= maxDepth {
		return 0
	}
	in, at := d.in, d.at
	for most := min(len(list), len(known), len(like)); n < most; n++ {
		keyEnd := keyAt(in, at, known[n])
		if keyEnd == 0 || !isLatestHead(in, keyEnd) {
			break
		}
		value, valueEnd := rawAt(in, keyEnd+latestForm)
		if valueEnd == 0 {
			break
		}
		l := &list[n]
		l.Timestamp = binaryInstant(in[keyEnd+len(latestHead):])
		if l.Value = like[n].Value; string(in[value:valueEnd]) != l.Value {
			l.Value = d.words.get(in[value:valueEnd])
		}
		at = valueEnd
	}
	d.at = at
	return n
}

// keyAt returns where a key that is encoded at in[at:] ends. The end is 0 if something
// else is there.
func keyAt(in []byte, at int, key string) (end int) {
	if len(key) < 32 {
		end = at + 1 + len(key)
		if end <= len(in) && in[at] == mpFixRaw|byte(len(key)) && string(in[at+1:end]) == key {
			return end
		}
		return 0
	}
	begin, end := rawAt(in, at)
	if end == 0 || string(in[begin:end]) != key {
		return 0
	}
	return end
}

// otherLatest reads the entries of a list that have no name in names yet, and returns all
// names.
func (d *decoder) otherLatest(names []string, list, like []report.Stamped) []string {
	for i := len(names); i < len(list); i++ {
		likely := ""
		if i < len(like) {
			likely = like[i].Value
		}
		key, ok := d.usualLatest(&list[i], likely)
		if !ok {
			key = d.keys.get(d.raw())
			if d.latestEntry(&list[i]); d.err != nil {
				d.within("[%.64q]", key)
				return names
			}
		}
		names = append(names, key)
	}
	return names
}

// values returns the values of a list and their keys, which are not those of the node
// before.
func (d *decoder) values(list []report.Stamped, names []string) report.Values {
	if !sorted.Is(names, sorted.Strings) {
		names, list = sortValues(names, list)
	}
	keys := d.keysOf(names)
	if keys == nil {
		return report.Values{}
	}
	return report.ValuesUnder(keys, list)
}

// keysOf returns a list of keys, which is new if no such list is remembered. It is nil when
// the decoder has no memory left.
func (d *decoder) keysOf(names []string) *report.Keys {
	slot := d.lists.slot(names)
	if slot != nil && sorted.Equal((*slot).Names(), names) {
		return *slot
	}
	if d.spend(1, unsafe.Sizeof(report.Keys{})) == 0 {
		return nil
	}
	own := d.texts.take(d, len(names))
	if own == nil {
		return nil
	}
	copy(own, names)
	keys := report.KeysOf(own)
	if slot != nil {
		*slot = keys
	}
	return keys
}

// sortValues sorts values by their keys. Of values with equal keys it keeps the last.
func sortValues(names []string, list []report.Stamped) ([]string, []report.Stamped) {
	sort.Stable(byName{names, list})
	n := 0
	for i := range names {
		if i+1 == len(names) || names[i] != names[i+1] {
			names[n], list[n] = names[i], list[i]
			n++
		}
	}
	clear(list[n:])
	return names[:n], list[:n:n]
}

// byName sorts values by their keys where they lie.
type byName struct {
	names []string
	list  []report.Stamped
}

func (s byName) Len() int           { return len(s.names) }
func (s byName) Less(i, j int) bool { return s.names[i] < s.names[j] }
func (s byName) Swap(i, j int) {
	s.names[i], s.names[j] = s.names[j], s.names[i]
	s.list[i], s.list[j] = s.list[j], s.list[i]
}

// The form in which every probe writes an entry: its key, latestHead, 15 bytes
// of time, latestBody, and the value.
const (
	latestHead = "\x82\xa9timestamp\xaf"
	latestBody = "\xa5value"
	timeLength = 15
	latestForm = len(latestHead) + timeLength + len(latestBody)
)

// usualLatest reads an entry that has the usual form, and returns its key. It returns
// false, and reads nothing, if the entry has another form. The value
// likely equals the given one.
func (d *decoder) usualLatest(l *report.Stamped, likely string) (name string, ok bool) {
	in := d.in
	key, keyEnd := rawAt(in, d.at)
	if keyEnd == 0 || d.depth >= maxDepth || !isLatestHead(in, keyEnd) {
		return "", false
	}
	value, valueEnd := rawAt(in, keyEnd+latestForm)
	if valueEnd == 0 {
		return "", false
	}
	d.at = valueEnd
	name = d.keys.get(in[key:keyEnd])
	l.Timestamp = binaryInstant(in[keyEnd+len(latestHead):])
	if l.Value = likely; string(in[value:valueEnd]) != likely {
		l.Value = d.words.get(in[value:valueEnd])
	}
	return name, true
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

func (d *decoder) latestEntry(l *report.Stamped) {
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
