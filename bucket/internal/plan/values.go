package plan

import (
	"context"
	"errors"
	"fmt"
	"iter"

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
				n := p.fitting(entries, p.opts.Batch)
				results, err := readSome(ctx, p.budget, p.expect(entries[:n]), entries[:n], read)
				if err == nil {
					err = yieldItems(s.Tenant, entries[:n], results, q.Partial, yield)
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

// fitting returns how many of the first entries are at most that many and fit
// into the budget together; at least 1, unless there are none.
func (p *Past[T]) fitting(entries []index.Entry, most int) int {
	n, bytes := 0, int64(0)
	for n < min(len(entries), most) {
		if bytes += p.expect(entries[n : n+1]); bytes > p.budget.limit && n > 0 {
			break
		}
		n++
	}
	return n
}

// readSome reads some blobs while the budget has room for their values. It gives
// the room back before the values are used: the consumer may ask other questions
// meanwhile.
func readSome[V any](ctx context.Context, b *budget, bytes int64, entries []index.Entry, read func([]blob.Ref) ([]blob.Result[V], error)) ([]blob.Result[V], error) {
	release, err := b.charge(ctx, bytes)
	if err != nil {
		return nil, err
	}
	defer release()
	results, err := read(refsOf(entries))
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if len(results) != len(entries) {
		return nil, fmt.Errorf("the blob store answered %d refs with %d results: %w", len(entries), len(results), err)
	}
	return results, nil
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
			return failure([]lost{{tenant, entries[i], item.Err}}, nil)
		}
		if !yield(item, nil) {
			return errStop
		}
	}
	return nil
}
