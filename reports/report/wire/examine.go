package wire

import (
	"fmt"

	"github.com/timeblob/timeblob/reports/report"
)

// Facts hold what a collector needs to know about a report that it keeps as a
// blob.
type Facts struct {
	// Fault is the error of Validate or Upgrade; nil if the report is valid.
	Fault error
	// Keep is true if the blob may be stored, see [Codec.DecodeToKeep].
	Keep     bool
	Shortcut bool
	HasID    bool // the report's ID is not empty
	nodes    [report.KindCount]int
}

// Over reports whether [report.DropTopologiesOver] with this limit would empty a
// topology. It may return true for a report that holds a node twice, although
// nothing would be emptied.
func (f *Facts) Over(limit int) bool {
	for _, n := range f.nodes {
		if report.TooMany(n, f.nodes[report.Host], limit) {
			return true
		}
	}
	return false
}

// Examine checks a posted report, which must be gzip, and counts its nodes. If the report has the form in
// which probes write reports, Examine does not decode it: it costs little more
// than inflating the blob, and allocates almost nothing. Otherwise it costs as much
// as Decode, Validate and Upgrade. The error is the error of DecodeToKeep.
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

// examine is Examine of the report in plain, whose blob is size bytes long.
func examine(plain []byte, size int) (*Facts, error) {
	if f, ok := scan(plain); ok {
		f.Keep = packedWell(size, len(plain))
		return f, nil
	}
	r, native, err := decodeMsgpack(plain, len(plain))
	if err != nil {
		return nil, err
	}
	f := &Facts{Keep: native && packedWell(size, len(plain)), Shortcut: r.Shortcut, HasID: r.ID != ""}
	for k := range r.Topologies {
		f.nodes[k] = len(r.Topologies[k].Nodes)
	}
	if f.Fault = report.ValidateDecoded(r); f.Fault == nil {
		_, f.Fault = report.Upgrade(r)
	}
	return f, nil
}
