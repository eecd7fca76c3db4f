package plan

import (
	"slices"

	"github.com/timeblob/timeblob/index"
)

// keyWeight is what a kept merge weighs beside its value: its key and its place
// in the cache.
const keyWeight = 200

// spanKey names the merge of a tenant's pieces.
type spanKey struct {
	tenant string
	print  fingerprint
}

// span is a list of pieces whose merge is made once, and kept when it is worth
// that.
type span struct {
	unit
	key spanKey
}

// spanOf returns a unit as a span. Scratch is memory to work in.
func spanOf(u unit, scratch []byte) (span, []byte) {
	s := span{unit: u, key: spanKey{tenant: u.tenant}}
	s.key.print, scratch = fingerprintOf(u.pieces, scratch)
	return s, scratch
}

// merged is the merge of some pieces.
type merged[T any] struct {
	value  T
	count  int    // values in it
	blobs  int64  // bytes of the blobs it was made of, as far as these are known
	lost   []lost // pieces that are not in it
	failed error  // the store's account of reads that failed
	poison bool   // the merge function refused some
}

// part is a value that is being merged, and the pieces that it is made of. The
// merge of what came before has no pieces: it is never to blame.
type part[T any] struct {
	value  T
	tenant string
	pieces pieces
	values int // merged in value, as far as is known
}

// valuesIn returns how many values are merged in parts.
func valuesIn[T any](parts []part[T]) (n int) {
	for i := range parts {
		n += parts[i].values
	}
	return n
}

// part returns a merge of pieces as a part of a larger merge.
func (m *merged[T]) part(tenant string, p pieces) part[T] {
	if len(m.lost) > 0 {
		gone := make(map[string]bool)
		for _, l := range m.lost {
			gone[l.entry.Key] = true
		}
		p.entries = slices.DeleteFunc(slices.Clone(p.entries), func(e index.Entry) bool { return gone[e.Key] })
		kept := p.rolled[:0:0]
		for _, place := range p.rolled {
			if !gone[place.Key] {
				kept = append(kept, place)
			}
		}
		p.rolled = kept
	}
	return part[T]{m.value, tenant, p, m.count}
}
