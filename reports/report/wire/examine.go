package wire

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/timeblob/timeblob/reports/report"
)

// Facts are what a collector needs to know of a report that it takes in as its
// blob.
type Facts struct {
	// Fault is what Validate or Upgrade say of the report; nil when it is good.
	Fault error
	// Keep is true when the blob may be stored: see [Codec.DecodeToKeep].
	Keep     bool
	Shortcut bool
	nodes    [report.KindCount]int
}

// Over reports whether a topology holds more nodes than [DropTopologiesOver]
// of that limit lets pass.
func (f *Facts) Over(limit int) bool {
	for _, n := range f.nodes {
		if report.TooMany(n, f.nodes[report.Host], limit) {
			return true
		}
	}
	return false
}

// Examine decodes a report for a look at it and lets go of it again, at half
// of what Decode, Validate and Upgrade cost, and next to no memory. The error
// is that of Decode.
func (c Codec) Examine(blob []byte) (*Facts, error) {
	b := buffers.Get().(*buffer)
	defer b.release()
	plain, err := inflateBlob(b.plain[:0], blob, c.limit())
	b.plain = plain
	if err != nil {
		return nil, fmt.Errorf("decode report: %w", err)
	}
	return examine(plain, len(blob))
}

// examiners are decoders that are brief.
var examiners = sync.Pool{New: func() any { return &decoder{brief: true} }}

// examine looks at the report in plain, which is size bytes when compressed.
// The report holds on to plain and to the memory of the decoder: what is
// returned must not hold on to the report. Errors hold copies.
func examine(plain []byte, size int) (*Facts, error) {
	d := examiners.Get().(*decoder)
	defer examiners.Put(d)
	defer d.letGo()
	r, by, err := d.decode(plain)
	if err != nil {
		return nil, err
	}
	f := &Facts{Keep: !by.foreign && packedWell(size, len(plain)), Shortcut: r.Shortcut}
	for k := range r.Topologies {
		f.nodes[k] = len(r.Topologies[k].Nodes)
	}
	if f.Fault = report.ValidateDecoded(r); f.Fault == nil {
		_, f.Fault = report.Upgrade(r)
	}
	return f, nil
}

// letGo makes the memory of the last report ready for the next.
func (d *decoder) letGo() {
	d.nodes.reset()
	d.places.reset()
	d.latest.reset()
	d.sets.reset()
	d.texts.reset()
	d.metrics.reset()
	d.samples.reset()
}

// after returns what a decoder goes on with after a report: a brief one with
// its memory.
func (a arenas) after(brief bool) arenas {
	if brief {
		return a
	}
	return arenas{}
}

// maxWhole is how large a chunk may be, in bytes, for the sake of the next
// report.
const maxWhole = 2 << 20

// reserve makes room for n elements more, all of them zero. The chunk that is
// full stays with the lists that were cut from it; the next is twice as large.
func (a *arena[E]) reserve(n int) {
	if n > len(a.free) {
		var e E
		most := maxWhole / int(unsafe.Sizeof(e))
		a.whole = make([]E, max(n, min(2*len(a.whole), most), slabMax))
		a.free = a.whole
	}
}

// reset makes the last chunk, which is the largest in most cases, free and zero.
func (a *arena[E]) reset() {
	var e E
	if len(a.whole)*int(unsafe.Sizeof(e)) > maxWhole {
		*a = arena[E]{}
		return
	}
	clear(a.whole[:len(a.whole)-len(a.free)])
	a.free, a.taken = a.whole, 0
}
