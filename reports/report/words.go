package report

import "hash/maphash"

const (
	wordSlots  = 2048
	wordLength = 64
)

var wordSeed = maphash.MakeSeed()

// words remembers short strings seen lately, so that what repeats within a
// report, and from one report to the next, is held in memory once. It keeps at
// most 2048 strings of 64 bytes.
type words struct {
	slots *[wordSlots]string
}

// get returns b as a string.
func (w *words) get(b []byte) string {
	if len(b) == 0 || len(b) > wordLength {
		return string(b)
	}
	if w.slots == nil {
		w.slots = new([wordSlots]string)
	}
	slot := &w.slots[maphash.Bytes(wordSeed, b)%wordSlots]
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}
