package plan

import (
	"time"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/cache"
)

// reads keeps what questions read of an index that counts its writes, so that
// the same question again reads nothing. A nil reads keeps nothing.
type reads struct {
	index index.Versioned
	cache *cache.Cache[readKey, oneRead]
}

// readKey names a part of a question; step is the Step of its View.
type readKey struct {
	tenant         string
	from, to, step int64
}

type oneRead struct {
	series  Series
	version uint64 // of the index
}

// readsShare is the part of the cache of merges that reads may take beside it.
const readsShare = 8

// readsAge is how long a read is kept at most: as long as the settings of levels are,
// by which it was made.
const readsAge = time.Minute

// What a read weighs in the cache.
const (
	entryWeight = 128
	placeWeight = 400
)

// newReads returns the reads of an index; nil when it is not a Versioned.
func newReads(idx index.Index, maxBytes int64, now func() time.Time) (*reads, error) {
	versioned, ok := idx.(index.Versioned)
	if !ok {
		return nil, nil
	}
	kept, err := cache.New[readKey, oneRead](max(maxBytes/readsShare, 1), &cache.Options{TTL: readsAge, Now: now})
	return &reads{versioned, kept}, err
}

// version returns the index's version of a part of a question, before it is read.
func (r *reads) version(k readKey) (version uint64, ok bool) {
	if r == nil {
		return 0, false
	}
	return r.index.Version(k.tenant, k.from, k.to)
}

// get returns what was read at a version. It returns no roll-up of a span that is to
// be skipped.
func (r *reads) get(k readKey, version uint64, skip func(levels.Span) bool) (s Series, ok bool) {
	kept := r.cache.Get(k)
	if kept == nil || kept.version != version {
		return s, false
	}
	for i := range kept.series.Rolled {
		if skip != nil && skip(kept.series.Rolled[i].Span) {
			return s, false
		}
	}
	return kept.series, true
}

// add keeps a read that began when the index had a version. It returns the read with
// its fingerprint.
func (r *reads) add(k readKey, version uint64, s Series) Series {
	if all := s.pieces(); all.len() > 1 {
		print, _ := fingerprintOf(all, nil)
		s.print = &print
	}
	weight := int64(keyWeight + entryWeight*len(s.Entries) + placeWeight*len(s.Rolled))
	r.cache.Add(k, oneRead{s, version}, weight)
	return s
}

// forget drops the reads of a tenant.
func (r *reads) forget(tenant string) {
	if r != nil {
		r.cache.RemoveFunc(func(k readKey) bool { return k.tenant == tenant })
	}
}
