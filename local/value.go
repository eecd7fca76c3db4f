package local

import (
	"encoding/binary"
	"errors"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/index"
)

// Frozen: what begins an entry's value that holds more than the blob's key, and
// the version of what follows. No blob's key begins so, because keys are UTF-8.
const (
	valueMark    = 0xff
	valueVersion = 1
)

// entryValue returns what is stored of an entry. A directory whose format
// version could not be raised takes the blob's key alone.
func (db *DB) entryValue(e index.Entry) []byte {
	if db.format < formatVersion || e.Size == 0 && !e.Sum.Known() {
		return []byte(e.Key)
	}
	value := make([]byte, 0, 2+binary.MaxVarintLen64+len(e.Sum)+len(e.Key))
	value = append(value, valueMark, valueVersion)
	value = binary.AppendUvarint(value, uint64(max(e.Size, 0)))
	value = append(value, e.Sum[:]...)
	return append(value, e.Key...)
}

// errValue says that an entry's value is cut, or has a version that this program does not know.
var errValue = errors.New("the value of an entry is not of a known version")

// parseEntryValue is the inverse of entryValue, for the entry of instant t.
func parseEntryValue(t int64, value []byte) (index.Entry, error) {
	if len(value) == 0 || value[0] != valueMark {
		return index.Entry{Time: t, Key: string(value)}, nil
	}
	if len(value) < 2 || value[1] != valueVersion {
		return index.Entry{}, errValue
	}
	size, n := binary.Uvarint(value[2:])
	if n <= 0 || size > 1<<62 || len(value) < 2+n+len(blob.Sum{}) {
		return index.Entry{}, errValue
	}
	rest := value[2+n:]
	sum := blob.Sum(rest[:len(blob.Sum{})])
	return index.Entry{Time: t, Key: string(rest[len(sum):]), Size: int64(size), Sum: sum}, nil
}
