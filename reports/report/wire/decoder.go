package wire

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"unsafe"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/internal/sorted"
)

const (
	// maxDepth is how deep maps and arrays may be nested. A node's metrics lie
	// 8 deep, and each generation of children adds 2.
	maxDepth = 64
	// memoryFactor is how many bytes of lists decoding may make for a byte of
	// its input, beyond memoryFree. Real reports take less than 2. With texts,
	// scratch memory and a second decoding, which [decoder.repack] needs, it is
	// 16 at most. What this package writes never needs more: see
	// [encoder.pad].
	memoryFactor = 7
	memoryFree   = 64 << 10
)

// A decoder reads msgpack. The first failure is kept in err and moves at to the
// end, so that whatever is read after it is zero and reading comes to an end.
type decoder struct {
	in    []byte
	at    int    // how much of in was read
	depth int    // of the map or array that is being read
	limit int64  // bytes that may be allocated
	left  int64  // what remains of limit
	home  string // name of the topology that is being read

	err   error
	trail []string // the path to where it failed, innermost first

	counted bool              // some latest values are counters that lack a time
	before  [16]report.Values // the last latest values that were read, by their number, modulo 16
	foreign bool              // something was read that is not written any more, or in another way

	scratch
	arenas
}

// scratch is what a decoder goes on with after a report.
type scratch struct {
	keys, words words          // of latest values, and all other texts
	lists       keyLists       // of latest values
	names       []string       // the keys of the node that is being read
	nodeStack   []*report.Node // of the lists that are being read
	places      []place
}

// arenas are the large allocations that the lists of a report are cut from.
type arenas struct {
	nodes   arena[report.Node]
	latest  arena[report.Stamped]
	sets    arena[report.StringSet]
	texts   arena[string]
	metrics arena[report.Metric]
	samples arena[report.Sample]
}

// effort is what a decoder met.
type effort struct {
	spent   int64 // bytes that were allocated
	foreign bool
}

// maxScratch is how many elements of scratch memory are kept for the next report.
const maxScratch = 1 << 14

// cleared returns the scratch memory without what it holds of a report.
func (s scratch) cleared() scratch {
	clear(s.nodeStack)
	clear(s.names[:cap(s.names)])
	s.nodeStack, s.names = s.nodeStack[:0], s.names[:0]
	if cap(s.nodeStack)+cap(s.places)+cap(s.names) > maxScratch {
		s.nodeStack, s.places, s.names = nil, nil, nil
	}
	return s
}

// memoryLimit returns how many bytes decoding n bytes may allocate for lists.
func memoryLimit(n int) int64 { return memoryFree + memoryFactor*int64(n) }

// fail notes the first failure.
func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
		d.at = len(d.in)
	}
}

// malformed notes a failure for what a report must not hold.
func (d *decoder) malformed(format string, args ...any) {
	d.fail(fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...)))
}

// within notes a step of the path to what failed.
func (d *decoder) within(format string, step any) {
	d.trail = append(d.trail, fmt.Sprintf(format, step))
}

func (d *decoder) withinIfFailed(field string) {
	if d.err != nil {
		d.within(".%s", field)
	}
}

func (d *decoder) failure() error {
	slices.Reverse(d.trail)
	path := strings.TrimPrefix(strings.Join(d.trail, ""), ".")
	return &SyntaxError{Path: path, Err: d.err}
}

// spend accounts for n elements of size bytes that are about to be allocated,
// and returns how many of them may be: n or, after a failure, 0.
func (d *decoder) spend(n int, size uintptr) int {
	d.left -= int64(n) * int64(size)
	if d.left < 0 {
		d.fail(&TooLargeError{What: "memory for the decoded report", Limit: d.limit})
		return 0
	}
	return n
}

// placeSize is how many bytes it takes to put a node in its place, besides the
// node: in the list, on the stack and among the places.
const placeSize = unsafe.Sizeof((*report.Node)(nil)) + 2*unsafe.Sizeof((*report.Node)(nil)) + unsafe.Sizeof(place{})

// A place says where a node belongs. It holds no pointer, so that places are
// sorted without the garbage collector's taking part.
type place struct {
	prefix uint64 // of the part of the ID in which the nodes differ
	node   int
}

// A chunk of an arena holds so many elements, at least and at most.
const (
	slabMin = 8
	slabMax = 128
)

// An arena cuts lists from bigger allocations. A list that is in use keeps its
// whole chunk in memory, so chunks are small. A nil arena allocates each list
// separately.
type arena[E any] struct {
	free  []E
	taken int // number of elements so far; a new chunk adds at most a quarter
}

// take returns a list of n zero elements, nil if n is 0 or the decoder has no
// memory left.
func (a *arena[E]) take(d *decoder, n int) []E {
	var e E
	return a.cut(d.spend(n, unsafe.Sizeof(e)))
}

// cut is take of memory that is accounted for.
func (a *arena[E]) cut(n int) []E {
	switch {
	case n == 0:
		return nil
	case a == nil || n > len(a.free) && n > slabMin:
		return make([]E, n)
	case n > len(a.free):
		a.free = make([]E, max(n, min(max(a.taken/4, slabMin), slabMax)))
	}
	a.taken += n
	list := a.free[:n:n]
	a.free = a.free[n:]
	return list
}

const keyListBits = 8

// keyLists remembers lists of keys that were decoded lately: at most 256, each of at
// most [maxSharedKeys] short keys. Nodes, also of several reports, then share them.
type keyLists struct {
	slots *[1 << keyListBits]*report.Keys
}

// maxSharedKeys is how many keys a list may have to be remembered.
const maxSharedKeys = 128

// slot returns where a list of these names is remembered, if it is; nil if it may not be.
func (k *keyLists) slot(names []string) **report.Keys {
	at, short := keyListSlot(names)
	if len(names) > maxSharedKeys || !short {
		return nil
	}
	if k.slots == nil {
		k.slots = new([1 << keyListBits]*report.Keys)
	}
	return &k.slots[at]
}

// keyListSlot hashes the lengths of the names, and the first and the last bytes of
// some. It also reports whether all names are short.
func keyListSlot(names []string) (slot uint64, short bool) {
	h, longest := uint64(len(names)), 0
	for _, name := range names {
		h, longest = h*31+uint64(len(name)), max(longest, len(name))
	}
	for _, name := range []string{names[0], names[len(names)/2], names[len(names)-1]} {
		h = h*31 + sorted.Prefix(name) + sorted.Prefix(name[max(0, len(name)-8):])
	}
	return h * 0x9e3779b97f4a7c15 >> (64 - keyListBits), longest <= report.SharedLength // Fibonacci hashing
}

const wordBits = 11

// words remembers short strings that were decoded lately. A string that repeats,
// within a report or in the next one, is then held in memory once. words keeps at
// most 2048 strings, each at most [report.SharedLength] bytes long.
type words struct {
	slots *[1 << wordBits]string
	chunk []byte // holds the texts that came last; it has room for more
}

// wordChunk is how many bytes are allocated for texts at a time. A text that is
// held on to keeps its chunk.
const wordChunk = 512

// get returns b as a string.
func (w *words) get(b []byte) string {
	if len(b) == 0 || len(b) > report.SharedLength {
		return string(b)
	}
	if w.slots == nil {
		w.slots = new([1 << wordBits]string)
	}
	slot := &w.slots[wordSlot(b)]
	if *slot != string(b) {
		*slot = w.hold(b)
	}
	return *slot
}

// hold returns a copy of b, which is short and not empty, as a string.
func (w *words) hold(b []byte) string {
	if cap(w.chunk)-len(w.chunk) < len(b) {
		w.chunk = make([]byte, 0, wordChunk)
	}
	at := len(w.chunk)
	w.chunk = append(w.chunk, b...) // never again written to
	return unsafe.String(&w.chunk[at], len(b))
}

// wordSlot hashes the length, the first and the last bytes: keys differ there.
// Strings that share a slot only miss the chance of being shared.
func wordSlot(b []byte) uint64 {
	h := uint64(len(b))
	if n := len(b); n >= 8 {
		h ^= binary.LittleEndian.Uint64(b) ^ bits.RotateLeft64(binary.LittleEndian.Uint64(b[n-8:]), 31)
	} else {
		for _, c := range b {
			h = h<<8 ^ uint64(c)
		}
	}
	return h * 0x9e3779b97f4a7c15 >> (64 - wordBits) // Fibonacci hashing
}
