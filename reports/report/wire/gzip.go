package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"sync"

	"github.com/timeblob/timeblob/reports/report/internal/deflate"
	"github.com/timeblob/timeblob/reports/report/internal/inflate"
)

// The layout of a member of a gzip file (RFC 1952):
//
//	1f 8b 08 flags mtime×4 xfl os
//	[size×2 extra…]  if flagExtra is set
//	[name… 0]        if flagName is set
//	[comment… 0]     if flagComment is set
//	[crc16×2]        if flagCRC is set: of all before
//	deflate…
//	crc32×4 size×4   of what deflate holds
const (
	gzipHead    = "\x1f\x8b\x08"
	gzipFixed   = 10
	gzipTrailer = 8

	flagCRC     = 1 << 1
	flagExtra   = 1 << 2
	flagName    = 1 << 3
	flagComment = 1 << 4
)

var inflaters = sync.Pool{New: func() any { return new(inflate.Decoder) }}

// gunzip appends what a file of gzip holds to dst, which is empty but may have
// a capacity. Such a file may have several members. The result is at most limit
// bytes long.
func gunzip(dst, blob []byte, limit int64) ([]byte, error) {
	d := inflaters.Get().(*inflate.Decoder)
	defer inflaters.Put(d)
	most := int(min(limit, math.MaxInt-1<<20)) // a slice cannot be longer
	for {
		body, err := afterHeader(blob)
		if err != nil {
			return dst, fmt.Errorf("gunzip: %w", err)
		}
		begin := len(dst)
		if dst, blob, err = d.Append(dst, body, most); err != nil {
			return dst, inflateError(err, limit)
		}
		if blob, err = afterTrailer(blob, dst[begin:]); err != nil {
			return dst, fmt.Errorf("gunzip: %w", err)
		}
		switch {
		case len(blob) == 0:
			return dst, nil
		case blob[0] != gzipHead[0]:
			return dst, fmt.Errorf("gunzip: %w", ErrTrailing)
		}
	}
}

func inflateError(err error, limit int64) error {
	switch {
	case errors.Is(err, inflate.ErrTooLarge):
		return &TooLargeError{What: "report body", Limit: limit}
	case errors.Is(err, inflate.ErrTruncated):
		return fmt.Errorf("gunzip: %w", ErrTruncated)
	}
	return fmt.Errorf("gunzip: %w: %w", ErrCorrupt, err)
}

// afterHeader returns what follows the header of a member.
func afterHeader(blob []byte) ([]byte, error) {
	head := blob[:min(len(blob), len(gzipHead))]
	switch {
	case string(head) != gzipHead[:len(head)]:
		return nil, fmt.Errorf("%w: it does not begin as gzip does", ErrCorrupt)
	case len(blob) < gzipFixed:
		return nil, ErrTruncated
	}
	flags, rest := blob[3], blob[gzipFixed:]
	if flags&flagExtra != 0 {
		if len(rest) < 2 || len(rest) < 2+int(binary.LittleEndian.Uint16(rest)) {
			return nil, ErrTruncated
		}
		rest = rest[2+int(binary.LittleEndian.Uint16(rest)):]
	}
	for _, flag := range []byte{flagName, flagComment} {
		if flags&flag != 0 {
			end := bytes.IndexByte(rest, 0)
			if end < 0 {
				return nil, ErrTruncated
			}
			rest = rest[end+1:]
		}
	}
	if flags&flagCRC == 0 {
		return rest, nil
	}
	if len(rest) < 2 {
		return nil, ErrTruncated
	}
	sum := uint16(crc32.ChecksumIEEE(blob[:len(blob)-len(rest)]))
	if binary.LittleEndian.Uint16(rest) != sum {
		return nil, fmt.Errorf("%w: the checksum of the gzip header does not match", ErrCorrupt)
	}
	return rest[2:], nil
}

// afterTrailer checks the trailer of a member that holds plain, and returns what
// follows it.
func afterTrailer(blob, plain []byte) ([]byte, error) {
	switch {
	case len(blob) < gzipTrailer:
		return nil, ErrTruncated
	case binary.LittleEndian.Uint32(blob) != crc32.ChecksumIEEE(plain),
		binary.LittleEndian.Uint32(blob[4:]) != uint32(len(plain)):
		return nil, ErrChecksum
	}
	return blob[gzipTrailer:], nil
}

// inflatedSize guesses what a blob inflates to. The blob says so itself in its
// last bytes, but what it says is not believed beyond a ratio that reports do
// not reach.
func inflatedSize(blob []byte, limit int64) int {
	if len(blob) < gzipFixed+gzipTrailer {
		return 0
	}
	size := int64(binary.LittleEndian.Uint32(blob[len(blob)-4:]))
	return int(min(size, limit, int64(len(blob))*maxRatio) + room)
}

// maxRatio is how many times as long as a blob its content is believed to be.
const maxRatio = 32

// inflateBlob inflates a blob of gzip into dst, which is empty but may have a capacity.
func inflateBlob(dst, blob []byte, limit int64) ([]byte, error) {
	return gunzip(slices.Grow(dst, inflatedSize(blob, limit)), blob, limit)
}

var deflaters = sync.Pool{New: func() any { return new(deflate.Encoder) }}

// appendGzip appends a file of gzip that holds plain to dst. Like the headers of Scope's
// blobs, its header names neither a time nor a system.
func appendGzip(dst, plain []byte) []byte {
	e := deflaters.Get().(*deflate.Encoder)
	defer deflaters.Put(e)
	dst = append(dst, gzipHead+"\x00\x00\x00\x00\x00\x00\xff"...)
	dst = e.Append(dst, plain)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.ChecksumIEEE(plain))
	return binary.LittleEndian.AppendUint32(dst, uint32(len(plain)))
}
