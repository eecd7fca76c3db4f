package plan

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// budget bounds the decoded bytes of all fetches of a Past.
type budget struct {
	limit int64
	room  *semaphore.Weighted
}

func newBudget(limit int64) *budget {
	return &budget{limit: limit, room: semaphore.NewWeighted(limit)}
}

// charge waits until there is room for bytes, or ctx ends. A fetch that is
// larger than the whole budget waits until it is alone. Batches are cut to the
// budget and larger values are refused, so only a fetch whose estimate has grown
// meanwhile is that large.
func (b *budget) charge(ctx context.Context, bytes int64) (release func(), err error) {
	bytes = min(max(bytes, 1), b.limit)
	if err := b.room.Acquire(ctx, bytes); err != nil {
		return nil, err
	}
	return func() { b.room.Release(bytes) }, nil
}
