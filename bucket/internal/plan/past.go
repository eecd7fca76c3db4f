package plan

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/cache"
	"github.com/timeblob/timeblob/internal/guard"
	"github.com/timeblob/timeblob/internal/readthrough"
	"github.com/timeblob/timeblob/internal/tracing"
	"github.com/timeblob/timeblob/internal/weigh"
)

// spans are, of a question, plan or has, which read the index, and merge; fetch
// is a read of blobs.
const spans = tracing.Scope("bucket")

// Attributes of our own.
const (
	spanEntries  = "timeblob.entries"
	spanRollups  = "timeblob.rollups"
	spanSegments = "timeblob.segments" // spans that are merged, and loose entries as one
)

// Blobs is the part of bucket.Blobs that questions need.
type Blobs[T any] interface {
	Get(ctx context.Context, refs []blob.Ref) ([]blob.Result[T], error)
}

// Options are checked bucket.QuantizerOptions with their defaults.
type Options[T any] struct {
	Quantum, Grace time.Duration
	CacheBytes     int64         // not positive: no merge is kept
	Size           func(T) int64 // nil: learned
	Rows           int
	Batch          int
	MaxEntries     int
	Budget         int64
	Metrics        *Metrics
	Now            func() time.Time

	// Levels are the index's; nil when it has no places.
	Levels *levels.Protocol
	// Codec is the version of the codec. A roll-up of a later version that does
	// not decode is left alone.
	Codec int
	// Offer is told of each span of a level that a question merged and that may be
	// sealed, also again and again: a span whose roll-up does not pay is offered
	// each time. Asked is told of each question about a tenant, when the index
	// has levels. Both must return at once; several goroutines may call them. Either may be nil.
	Offer func(levels.Span)
	Asked func(tenant string)
}

// Past answers questions about stored values. It is safe for any number of
// goroutines.
type Past[T any] struct {
	index index.Index
	blobs Blobs[T]
	user  func(parts []T) (T, error)
	opts  Options[T]
	cache *cache.Cache[spanKey, merged[T]] // nil when no merge is kept
	local bool                             // the index is in this process
	reads *reads                           // nil when no read is kept
	// What questions to an index in another process are guessed by.
	covers covers
	// Who reads the same span at the same time reads it once. A run may have the
	// pieces of a row in it, and a row the pieces of a span, so each has a group of
	// its own: a question never waits for itself.
	spansRead, nodesRead, runs readthrough.Group[spanKey, merged[T]]
	budget                     *budget
	values                     *weigh.Scale[T] // of single values, by their blobs
	merges                     *weigh.Scale[T] // of merges, by the blobs of their parts
	metrics                    *Metrics
	counts                     counts
}

// New returns a Past.
func New[T any](idx index.Index, blobs Blobs[T], merge func(parts []T) (T, error), o Options[T]) (*Past[T], error) {
	p := &Past[T]{index: idx, blobs: blobs, user: merge, opts: o, budget: newBudget(o.Budget),
		values: weigh.New(o.Size), merges: weigh.New(o.Size), metrics: o.Metrics}
	if o.CacheBytes > 0 {
		var err error
		if p.cache, err = cache.New[spanKey, merged[T]](o.CacheBytes, &cache.Options{Now: o.Now}); err != nil {
			return nil, err
		}
		if p.reads, err = newReads(idx, o.CacheBytes, o.Now); err != nil {
			return nil, err
		}
	}
	_, p.local = idx.(index.Versioned)
	return p, nil
}

// Forget drops the merges of a tenant's values, and what was read of it, from the
// cache.
func (p *Past[T]) Forget(tenant string) {
	p.reads.forget(tenant)
	p.cache.RemoveFunc(func(key spanKey) bool { return key.tenant == tenant })
}

// Stats returns what p has done.
func (p *Past[T]) Stats() Stats {
	c := &p.counts
	return Stats{Entries: c.entries.Load(), Blobs: c.blobs.Load(), Merges: c.merges.Load(), Looked: c.looked.Load(), Found: c.found.Load()}
}

// looked counts a look into the cache of merges.
func (p *Past[T]) looked(hit bool) {
	p.metrics.requests.Inc()
	p.counts.looked.Add(1)
	if hit {
		p.metrics.hits.Inc()
		p.counts.found.Add(1)
	}
}

// call calls the user's function.
func (p *Past[T]) call(parts []T) (v T, err error) {
	defer guard.Recover("merge", &err)
	p.metrics.merges.Inc()
	p.counts.merges.Add(1)
	return p.user(parts)
}

// expect estimates how many bytes of memory the values of pieces take.
func (p *Past[T]) expect(all pieces) (bytes int64) {
	for i := range all.len() {
		bytes += p.values.Expect(all.size(i))
	}
	return bytes
}

func (p *Past[T]) expectRefs(refs []blob.Ref) (bytes int64) {
	for i := range refs {
		bytes += p.values.Expect(refs[i].Size)
	}
	return bytes
}

// fitting returns how many of the first pieces are at most that many and fit
// into the budget together; at least 1, unless there are none.
func (p *Past[T]) fitting(all pieces, most int) int {
	n, bytes := 0, int64(0)
	for n < min(all.len(), most) {
		if bytes += p.values.Expect(all.size(n)); bytes > p.budget.limit && n > 0 {
			break
		}
		n++
	}
	return n
}

// get reads blobs in a span. It returns a result for each ref in any case.
func (p *Past[T]) get(ctx context.Context, refs []blob.Ref, segments int) ([]blob.Result[T], error) {
	ctx, fetching := spans.Child(ctx, "fetch")
	p.counts.blobs.Add(int64(len(refs)))
	results, err := p.blobs.Get(ctx, refs)
	if len(results) != len(refs) {
		if err == nil {
			err = fmt.Errorf("the blob store answered %d refs with %d results", len(refs), len(results))
		}
		results = make([]blob.Result[T], len(refs))
		for i := range results {
			results[i].Err = err
		}
	}
	found := 0
	for i := range results {
		if r := &results[i]; r.Found {
			found++
			p.values.Observe(r.Value, r.Size)
		}
	}
	fetching.Int(tracing.Keys, len(refs))
	fetching.Int(spanSegments, segments)
	fetching.Int(tracing.Found, found)
	fetching.End(err)
	return results, err
}

// settings returns the settings of the index's levels. The error is
// levels.ErrOff where it has none.
func (p *Past[T]) settings(ctx context.Context) (levels.Settings, error) {
	if p.opts.Levels == nil {
		return levels.Settings{}, levels.ErrOff
	}
	return p.opts.Levels.Settings(ctx)
}

// settled returns the instant before which an entry, or the end of a span,
// must lie for a merge to be worth keeping.
func (p *Past[T]) settled() int64 {
	if p.opts.Grace < 0 {
		return math.MaxInt64
	}
	return p.opts.Now().Add(-p.opts.Grace).UnixNano()
}

// recall returns the kept merge of a span.
func (p *Past[T]) recall(s *span) (m merged[T], ok bool) {
	if p.cache == nil || s.kind == loose {
		return m, false
	}
	if kept := p.cache.Get(s.key); kept != nil {
		return *kept, true
	}
	return m, false
}

// keep keeps the merge of a span that is worth it and can be weighed.
func (p *Past[T]) keep(s *span, m merged[T]) {
	if !s.keep || p.cache == nil || len(m.lost) > 0 {
		return
	}
	if weight := p.merges.Weigh(m.value, m.blobs); weight > 0 {
		p.cache.Add(s.key, m, weight+keyWeight)
	}
}
