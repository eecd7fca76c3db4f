package bucket

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/index"
)

// keyWeight is what a cached quantum weighs beside its value: its key, its
// place in the cache's map and list.
const keyWeight = 200

// merge returns the merge of entries, which must be the tenant's entries of
// [from, to) in ascending order, and of extra values that are not in the
// index; the zero value of T when there are neither. Extra values are part of
// this answer only, never of anything that is cached. It goes a batch at a time,
// so that what it holds in memory does not grow with the range.
func (q *Quantizer[T]) merge(ctx context.Context, tenant string, entries []index.Entry, from, to int64, extra ...T) (v T, err error) {
	defer q.metrics.took("merge", time.Now())
	ctx, merging := spans.Child(ctx, "merge")
	defer func() { merging.End(err) }()
	merging.Int(spanEntries, len(entries))
	segments := split(entries, from, to, int64(q.opts.Quantum))
	for {
		n := batch(segments, q.opts.Batch)
		values, err := q.values(ctx, tenant, segments[:n])
		if err != nil {
			return v, err
		}
		sum, err := mergeParts(q.combine, append(values, extra...))
		if err != nil {
			return v, fmt.Errorf("merge of tenant %q from %s to %s: %w", tenant, instant(from), instant(to), err)
		}
		if segments = segments[n:]; len(segments) == 0 {
			return sum, nil
		}
		extra = []T{sum}
	}
}

// values returns the merge of each segment: those of whole quanta from the cache,
// all others by one fetch.
func (q *Quantizer[T]) values(ctx context.Context, tenant string, segments []segment) ([]T, error) {
	var (
		values  = make([]T, len(segments), len(segments)+1)
		settled = q.settled()
		cold    coldSegments
		scratch []byte
	)
	for i, s := range segments {
		key := quantumKey{tenant: tenant, number: s.number}
		key.print, scratch = fingerprintOf(s.entries, scratch)
		keep := s.whole && s.to <= settled
		if v, ok := q.lookUp(key, keep); ok {
			values[i] = v
			continue
		}
		if cold.segments == nil {
			cold.segments = make(map[quantumKey]coldSegment, len(segments)-i)
		}
		cold.add(i, key, coldSegment{s, keep})
	}
	if len(cold.keys) == 0 {
		return values, nil
	}
	return values, q.warm(ctx, tenant, &cold, values)
}

// settled returns the instant before which a quantum must have ended to be
// looked up and cached.
func (q *Quantizer[T]) settled() int64 {
	if q.opts.Grace < 0 {
		return math.MaxInt64
	}
	return q.opts.Now().Add(-q.opts.Grace).UnixNano()
}

// lookUp returns the cached merge of a segment that is worth caching.
func (q *Quantizer[T]) lookUp(key quantumKey, keep bool) (v T, ok bool) {
	if !keep || q.cache == nil {
		return v, false
	}
	q.metrics.requests.Inc()
	if v, ok = q.cache.Get(key); ok {
		q.metrics.hits.Inc()
	}
	return v, ok
}

// coldSegments are the segments of a question that have to be fetched.
type coldSegments struct {
	places   []int // among the question's segments
	keys     []quantumKey
	segments map[quantumKey]coldSegment
}

type coldSegment struct {
	segment
	keep bool // worth caching
}

func (c *coldSegments) add(place int, key quantumKey, s coldSegment) {
	c.places = append(c.places, place)
	c.keys = append(c.keys, key)
	c.segments[key] = s
}

// warm fills in the values of cold segments. Of those that nobody fetches at the
// moment, edges too, it fetches the blobs in one call; for the others it waits.
func (q *Quantizer[T]) warm(ctx context.Context, tenant string, cold *coldSegments, values []T) error {
	results, open := make([]blob.Result[T], len(cold.keys)), make([]int, len(cold.keys))
	for i := range open {
		open[i] = i
	}
	q.flights.Read(ctx, open, results, &coldReader[T]{q, tenant, cold})
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("blobs of tenant %q: %w", tenant, err)
	}
	errs := make([]error, len(results))
	for i, r := range results {
		values[cold.places[i]], errs[i] = r.Value, r.Err
	}
	return joinSegments(tenant, errs)
}

// coldReader reads the cold segments of one question.
type coldReader[T any] struct {
	*Quantizer[T]
	tenant string
	cold   *coldSegments
}

func (r *coldReader[T]) Key(i int) quantumKey { return r.cold.keys[i] }

// Look returns a merge that another caller has cached since lookUp did not
// find it.
func (r *coldReader[T]) Look(i int, _ bool) (result blob.Result[T], ok bool) {
	key := r.cold.keys[i]
	if r.cold.segments[key].keep {
		result.Value, result.Found = r.cache.Get(key)
	}
	return result, result.Found
}

// Fetch reads and merges segments, and caches the merges when there was no
// error at all.
func (r *coldReader[T]) Fetch(ctx context.Context, open []int, results []blob.Result[T]) {
	keys, segments := r.cold.keys, r.cold.segments
	blobs, failed := r.traceGet(ctx, blobRefs(keys, open, segments), len(open))
	if failed != nil {
		failed = fmt.Errorf("blobs of tenant %q: %w", r.tenant, failed)
	}
	inParallel(len(open), func(n int) {
		i := open[n]
		v, err := r.assemble(ctx, r.tenant, segments[keys[i]].segment, blobs, failed)
		results[i] = blob.Result[T]{Value: v, Found: err == nil, Err: err}
	})
	if failed == nil && !slices.ContainsFunc(open, func(i int) bool { return results[i].Err != nil }) {
		inParallel(len(open), func(n int) {
			i := open[n]
			r.keep(keys[i], segments[keys[i]], results[i].Value)
		})
	}
}

// blobRefs returns the blobs of the open segments, each once.
func blobRefs(keys []quantumKey, open []int, segments map[quantumKey]coldSegment) []blob.Ref {
	n := 0
	for _, i := range open {
		n += len(segments[keys[i]].entries)
	}
	all, seen := make([]blob.Ref, 0, n), make(map[string]struct{}, n)
	for _, i := range open {
		for _, e := range segments[keys[i]].entries {
			if _, ok := seen[e.Key]; ok {
				continue
			}
			seen[e.Key] = struct{}{}
			all = append(all, e.Ref())
		}
	}
	return all
}

// assemble merges a segment's values. When the fetch failed, a segment of which it
// brought every value is as good as any.
func (q *Quantizer[T]) assemble(ctx context.Context, tenant string, s segment, blobs map[string]T, failed error) (v T, err error) {
	parts, missing := pick(s.entries, blobs)
	switch {
	case missing != nil && failed != nil:
		return v, failed
	case missing != nil:
		return v, &MissingError{Tenant: tenant, Entries: missing}
	case ctx.Err() != nil:
		return v, ctx.Err()
	}
	if len(parts) > 1 {
		q.metrics.merges.Inc()
	}
	if v, err = mergeParts(q.combine, parts); err != nil {
		return v, fmt.Errorf("merge of tenant %q, %v: %w", tenant, s, err)
	}
	return v, nil
}

// pick returns the entries' values, and the entries that have none.
func pick[T any](entries []index.Entry, blobs map[string]T) (parts []T, missing []index.Entry) {
	parts = make([]T, 0, len(entries))
	for _, e := range entries {
		if v, ok := blobs[e.Key]; ok {
			parts = append(parts, v)
		} else {
			missing = append(missing, e)
		}
	}
	return parts, missing
}

// keep caches the merge of a segment that is worth it and can be weighed.
func (q *Quantizer[T]) keep(key quantumKey, s coldSegment, v T) {
	if !s.keep || q.cache == nil {
		return
	}
	if size := q.opts.Size(v); size > 0 {
		q.cache.Add(key, v, size+keyWeight)
	}
}

// inParallel calls f with 0 to n-1, on as many goroutines as there are
// processors, and returns when all calls have. A panic of f is the caller's.
func inParallel(n int, f func(i int)) {
	if n == 1 {
		f(0)
		return
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		group.Go(func() (err error) {
			defer func() {
				if r := recover(); r != nil {
					err = fmt.Errorf("%v\n\n%s", r, debug.Stack())
				}
			}()
			f(i)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		panic(err)
	}
}
