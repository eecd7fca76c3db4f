package bucket

import (
	"crypto/sha256"
	"encoding/binary"
)

// maxIDs is how many ids a tenant's window remembers at the most. One costs
// about 100 bytes.
const maxIDs = 1 << 16

// addID names what an Add with an id added: the first half of the SHA-256 of
// the id and, where it came as a blob, of the blob.
type addID [16]byte

// idOf returns the addID of an id and a blob, which may be nil.
func idOf(id string, blob []byte) addID {
	h := sha256.New()
	_, _ = h.Write(binary.AppendUvarint(nil, uint64(len(id))))
	_, _ = h.Write([]byte(id))
	_, _ = h.Write(blob)
	return addID(h.Sum(nil)[:len(addID{})])
}

// recentIDs remembers the ids that came within a window, and at most maxIDs of
// them.
type recentIDs struct {
	seen  map[addID]struct{}
	queue []seenID // in the order in which they came
}

type seenID struct {
	id addID
	at int64 // Unix nanoseconds
}

func (r *recentIDs) has(id addID) bool {
	_, ok := r.seen[id]
	return ok
}

func (r *recentIDs) add(id addID, now int64) {
	if r.seen == nil {
		r.seen = make(map[addID]struct{})
	}
	if len(r.queue) >= maxIDs {
		r.drop(1)
	}
	r.seen[id] = struct{}{}
	r.queue = append(r.queue, seenID{id, now})
}

// expire forgets the ids that came at the instant oldest or before it.
func (r *recentIDs) expire(oldest int64) {
	n := 0
	for n < len(r.queue) && r.queue[n].at <= oldest {
		n++
	}
	r.drop(n)
	if len(r.queue) == 0 {
		*r = recentIDs{}
	}
}

func (r *recentIDs) drop(n int) {
	for _, s := range r.queue[:n] {
		delete(r.seen, s.id)
	}
	r.queue = r.queue[n:]
}
