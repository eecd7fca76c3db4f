package wire

import (
	"fmt"

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

// examine looks at the report in plain, which is size bytes when compressed.
func examine(plain []byte, size int) (*Facts, error) {
	if f, ok := scan(plain); ok {
		f.Keep = packedWell(size, len(plain))
		return f, nil
	}
	r, native, err := decodeMsgpack(plain, len(plain))
	if err != nil {
		return nil, err
	}
	f := &Facts{Keep: native && packedWell(size, len(plain)), Shortcut: r.Shortcut}
	for k := range r.Topologies {
		f.nodes[k] = len(r.Topologies[k].Nodes)
	}
	if f.Fault = report.ValidateDecoded(r); f.Fault == nil {
		_, f.Fault = report.Upgrade(r)
	}
	return f, nil
}
