// Package once remembers for a while what was added, so that a repetition can be
// told.
package once

import (
	"crypto/sha256"
	"encoding/binary"
)

// Max is how many ids are remembered at the most. One costs about 100 bytes.
const Max = 1 << 16

// ID names what was added: the first half of the SHA-256 of an id and of the
// blob that came with it.
type ID [16]byte

// IDOf returns the ID of an id and a blob, which may be nil.
func IDOf(id string, blob []byte) ID {
	h := sha256.New()
	_, _ = h.Write(binary.AppendUvarint(nil, uint64(len(id))))
	_, _ = h.Write([]byte(id))
	_, _ = h.Write(blob)
	return ID(h.Sum(nil)[:len(ID{})])
}

// IDs are the ids that were added last, at most Max of them. The zero value is empty.
// IDs must not be used by several goroutines at a time.
type IDs struct {
	seen  map[ID]struct{}
	queue []seenID // in the order in which they came
}

type seenID struct {
	id ID
	at int64 // Unix nanoseconds
}

// Has reports whether an id is remembered.
func (r *IDs) Has(id ID) bool {
	_, ok := r.seen[id]
	return ok
}

// Add remembers an id that came at an instant, in Unix nanoseconds. The oldest one
// is forgotten when there are too many.
func (r *IDs) Add(id ID, now int64) {
	if r.seen == nil {
		r.seen = make(map[ID]struct{})
	}
	if len(r.queue) >= Max {
		r.drop(1)
	}
	r.seen[id] = struct{}{}
	r.queue = append(r.queue, seenID{id, now})
}

// Expire forgets the ids that came at the instant oldest or before it.
func (r *IDs) Expire(oldest int64) {
	n := 0
	for n < len(r.queue) && r.queue[n].at <= oldest {
		n++
	}
	r.drop(n)
	if len(r.queue) == 0 {
		*r = IDs{}
	}
}

func (r *IDs) drop(n int) {
	for _, s := range r.queue[:n] {
		delete(r.seen, s.id)
	}
	r.queue = r.queue[n:]
}

// Empty reports whether no id is remembered.
func (r *IDs) Empty() bool { return len(r.queue) == 0 }
