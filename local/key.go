package local

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/timeblob/timeblob/index"
)

// Frozen: the first byte of every key in the store, see the package comment.
const (
	entrySpace   = 0x01 // entries, by hour, tenant and instant
	blobSpace    = 0x02 // blobs whose key holds an instant, by its hour
	ageLessSpace = 0x03 // blobs under keys of another shape
	placeSpace   = 0x04 // places, by level, block, tenant and start
)

// Frozen: lengths in entry keys.
const (
	hourPrefix = 1 + 8 // space and hour
	maxTenant  = math.MaxUint8
)

// appendOrdered appends v so that bytes compare as the numbers do, negative
// ones first. Frozen.
func appendOrdered(b []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(v)^1<<63)
}

// ordered is the inverse of appendOrdered on the first 8 bytes of b.
func ordered(b []byte) int64 {
	return int64(binary.BigEndian.Uint64(b) ^ 1<<63)
}

// hourKey returns the first key of a space's hour.
func hourKey(space byte, hour int64) []byte {
	return appendOrdered([]byte{space}, hour)
}

// rowKey returns the prefix of the keys of a row's entries.
func rowKey(row index.Row) ([]byte, error) {
	if len(row.Tenant) > maxTenant {
		return nil, fmt.Errorf("tenant id %.80q…: longer than %d bytes", row.Tenant, maxTenant)
	}
	key := make([]byte, 0, hourPrefix+1+len(row.Tenant)+8)
	key = append(key, entrySpace)
	key = appendOrdered(key, row.Hour)
	key = append(key, byte(len(row.Tenant)))
	return append(key, row.Tenant...), nil
}

// entryKey returns the key of the row's entry of instant t.
func entryKey(row index.Row, t int64) ([]byte, error) {
	key, err := rowKey(row)
	if err != nil {
		return nil, err
	}
	return appendOrdered(key, t), nil
}

// parseEntryKey is the inverse of entryKey.
func parseEntryKey(key []byte) (row index.Row, t int64, err error) {
	const fixed = hourPrefix + 1 + 8
	if len(key) < fixed || key[0] != entrySpace || len(key) != fixed+int(key[hourPrefix]) {
		return row, 0, fmt.Errorf("entry key %x: not of format version %d", key, formatVersion)
	}
	tenant := key[hourPrefix+1 : len(key)-8]
	row = index.Row{Tenant: string(tenant), Hour: ordered(key[1:])}
	return row, ordered(key[len(key)-8:]), nil
}

// blobKey returns the key under which a blob is stored.
func blobKey(name string) []byte {
	return appendBlobKey(make([]byte, 0, hourPrefix+len(name)), name)
}

// appendBlobKey appends the key of a blob, which is at most hourPrefix longer than its
// name.
func appendBlobKey(b []byte, name string) []byte {
	t, err := index.ParseBlobKey(name)
	if err != nil {
		return append(append(b, ageLessSpace), name...)
	}
	return append(appendOrdered(append(b, blobSpace), index.RowAt("", t).Hour), name...)
}

// after returns the first key that sorts after every key that starts with
// prefix. It must not be all 0xff, which no space is.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; ; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
}
