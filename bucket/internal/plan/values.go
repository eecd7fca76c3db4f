package plan

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/index"
)

// Item is an entry and what was read of it.
type Item[V any] struct {
	Entry index.Entry
	Value V
	Err   error // why it was not read; only for partial questions
}

// Values yields the entries of a question with their values, in order of Tenant
// and Time. It holds one batch of values at a time.
func (p *Past[T]) Values(ctx context.Context, q Question[T]) iter.Seq2[Item[T], error] {
	return items(p, ctx, q, func(refs []blob.Ref) ([]blob.Result[T], error) { return p.get(ctx, refs, 1) })
}

// Raw yields the entries of a question with their blobs, as Values does.
func (p *Past[T]) Raw(ctx context.Context, q Question[T], read func(context.Context, []blob.Ref) ([]blob.Result[[]byte], error)) iter.Seq2[Item[[]byte], error] {
	return items(p, ctx, q, func(refs []blob.Ref) ([]blob.Result[[]byte], error) {
		p.counts.blobs.Add(int64(len(refs)))
		return read(ctx, refs)
	})
}

func items[T, V any](p *Past[T], ctx context.Context, q Question[T], read func([]blob.Ref) ([]blob.Result[V], error)) iter.Seq2[Item[V], error] {
	return func(yield func(Item[V], error) bool) {
		if err := p.allow(&q); err != nil {
			yield(Item[V]{}, err)
			return
		}
		for _, s := range q.Series {
			for entries := s.Entries; len(entries) > 0; {
				some, _ := (&pieces{entries: entries}).head(p.fitting(pieces{entries: entries}, p.opts.Batch))
				n := len(some.entries)
				results, err := readSome(ctx, p.budget, p.expect(some), s.Tenant, some, read)
				if err == nil {
					some.entries, results, err = withoutDeleted(ctx, p, s.Tenant, some.entries, results)
				}
				if err == nil {
					err = yieldItems(s.Tenant, some.entries, results, q.Partial, yield)
				}
				if err == errStop {
					return
				}
				if err != nil {
					yield(Item[V]{}, err)
					return
				}
				entries = entries[n:]
			}
		}
	}
}

// readSome reads some blobs while the budget has room for their values. It gives
// the room back before the values are used: the consumer may ask other questions
// meanwhile.
func readSome[V any](ctx context.Context, b *budget, bytes int64, tenant string, some pieces, read func([]blob.Ref) ([]blob.Result[V], error)) ([]blob.Result[V], error) {
	charged, err := b.charge(ctx, bytes, []string{tenant})
	if err != nil {
		return nil, err
	}
	defer charged.End()
	results, err := read(some.appendRefs(nil))
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if len(results) != some.len() {
		return nil, fmt.Errorf("the blob store answered %d refs with %d results: %w", some.len(), len(results), err)
	}
	return results, nil
}

// withoutDeleted leaves out the entries that have no blob and that the index does
// not have any more: they were deleted meanwhile.
func withoutDeleted[T, V any](ctx context.Context, p *Past[T], tenant string, entries []index.Entry, results []blob.Result[V]) ([]index.Entry, []blob.Result[V], error) {
	isGone := func(r blob.Result[V]) bool { return !r.Found && r.Err == nil }
	first := slices.IndexFunc(results, isGone)
	if first < 0 {
		return entries, results, nil
	}
	left, err := p.entries(ctx, tenant, entries[first].Time, entries[len(entries)-1].Time+1)
	if err != nil {
		return nil, nil, err
	}
	some, found := entries[:first:first], results[:first:first]
	for i := first; i < len(entries); i++ {
		at, taken := index.Search(left, entries[i].Time)
		if isGone(results[i]) && !(taken && left[at].Same(entries[i])) {
			continue
		}
		some, found = append(some, entries[i]), append(found, results[i])
	}
	return some, found, nil
}

// errStop says that the consumer wants no more.
var errStop = errors.New("stop")

// yieldItems yields what was read of some entries.
func yieldItems[V any](tenant string, entries []index.Entry, results []blob.Result[V], partial bool, yield func(Item[V], error) bool) error {
	for i, r := range results {
		item := Item[V]{Entry: entries[i], Value: r.Value, Err: r.Err}
		if !r.Found && r.Err == nil {
			item.Err = ErrNoBlob
		}
		if item.Err != nil && !partial {
			return failure([]lost{{tenant: tenant, entry: entries[i], err: item.Err}}, nil)
		}
		if !yield(item, nil) {
			return errStop
		}
	}
	return nil
}
