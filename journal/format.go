package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// The constants of the format. The package comment shows the layout. It is
// frozen: a change needs another version.
const (
	magic       = "TBJOURNL"
	version     = 1
	headerSize  = 40 // bytes of a segment's header
	headSize    = 44 // bytes of a record's head
	markSize    = 8
	kindEnd     = 0       // the journal's own kind: names records that are done
	maxMeta     = 1 << 24 // bytes of Meta that Append takes
	maxBlob     = 1 << 30 // bytes of a blob that Append takes
	endsAtATime = 4096    // numbers in one record of kindEnd
)

// castagnoli is CRC32C, as in iSCSI (RFC 3720) and ext4. Processors compute it
// in hardware. It finds every damage that spans up to 32 bits, and misses one
// other damage in 2^32.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// mark begins every record of one segment. It is random, so that neither a
// blob nor an old block of the disk can look like a record of the segment.
type mark [markSize]byte

// header is the header of a segment.
type header struct {
	id    uint64 // of the segment
	first uint64 // sequence number of the segment's first record
	mark  mark
}

func (h header) bytes() []byte {
	b := append(make([]byte, 0, headerSize), magic...)
	b = binary.BigEndian.AppendUint64(b, h.id)
	b = binary.BigEndian.AppendUint64(b, h.first)
	b = append(b, h.mark[:]...)
	b = binary.BigEndian.AppendUint32(b, version)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseHeader reads a segment's header. A newer version is a *VersionError.
func parseHeader(b []byte) (header, error) {
	var h header
	if len(b) < headerSize {
		return h, fmt.Errorf("the segment's header is cut: %d bytes of %d", len(b), headerSize)
	}
	sum := binary.BigEndian.Uint32(b[36:])
	if !bytes.HasPrefix(b, []byte(magic)) || crc32.Checksum(b[:36], castagnoli) != sum {
		return h, fmt.Errorf("the segment's header is damaged")
	}
	if v := binary.BigEndian.Uint32(b[32:]); v != version {
		return h, &VersionError{Version: v}
	}
	h.id, h.first = binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])
	h.mark = mark(b[24:32])
	return h, nil
}

// head is what stands before a record's meta and blob.
type head struct {
	seq        uint64 // place in the journal: one more than the record before it
	id         uint64 // the record's number: its first seq, and smaller than seq in a copy
	kind       byte
	meta, blob uint32 // bytes
	body       uint32 // CRC32C of meta and blob
}

func (h head) size() int64 { return headSize + int64(h.meta) + int64(h.blob) }

// append adds the head's bytes to b.
func (h head) append(b []byte, m mark) []byte {
	start := len(b)
	b = append(b, m[:]...)
	b = binary.BigEndian.AppendUint64(b, h.seq)
	b = binary.BigEndian.AppendUint64(b, h.id)
	b = append(b, h.kind, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, h.meta)
	b = binary.BigEndian.AppendUint32(b, h.blob)
	b = binary.BigEndian.AppendUint32(b, h.body)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parseHead reads a record's head. It reports whether it is one of a segment
// with this mark.
func parseHead(b []byte, m mark) (h head, ok bool) {
	if len(b) < headSize || mark(b[:markSize]) != m ||
		crc32.Checksum(b[:headSize-4], castagnoli) != binary.BigEndian.Uint32(b[headSize-4:]) {
		return h, false
	}
	h = head{seq: binary.BigEndian.Uint64(b[8:]), id: binary.BigEndian.Uint64(b[16:]), kind: b[24],
		meta: binary.BigEndian.Uint32(b[28:]), blob: binary.BigEndian.Uint32(b[32:]), body: binary.BigEndian.Uint32(b[36:])}
	return h, h.id > 0 && h.id <= h.seq
}

// checksum is the CRC32C of a record's body.
func checksum(meta, blob []byte) uint32 {
	return crc32.Update(crc32.Checksum(meta, castagnoli), castagnoli, blob)
}

// appendEnds adds the numbers of records that are done to b: each as the
// difference from the one before it, as a signed varint.
func appendEnds(b []byte, ids []uint64) []byte {
	var last uint64
	for _, id := range ids {
		b = binary.AppendVarint(b, int64(id-last))
		last = id
	}
	return b
}

// parseEnds reads what appendEnds wrote. It reports whether b is whole.
func parseEnds(b []byte, visit func(id uint64)) bool {
	var last uint64
	for len(b) > 0 {
		step, n := binary.Varint(b)
		if n <= 0 {
			return false
		}
		last += uint64(step)
		visit(last)
		b = b[n:]
	}
	return true
}
