package plan

import (
	"context"
	"fmt"
	"time"

	"github.com/timeblob/timeblob/internal/gate"
)

// budget bounds the decoded bytes of all fetches of a Past.
type budget struct {
	limit int64
	room  *gate.Room
}

const (
	// maxFetch is how long a fetch keeps its part of the budget when others wait. Its
	// codec or merge, which are the user's, may never return.
	maxFetch = time.Minute
	// several is the owner of fetches of more than one tenant. No tenant has this id.
	several = "several tenants"
)

func newBudget(limit int64) *budget { return &budget{limit, gate.NewRoom(limit, maxFetch)} }

// StuckError says that a question about a tenant does not end, and keeps others from
// being read.
type StuckError struct {
	Tenant string // or "several tenants"
}

func (e *StuckError) Error() string {
	return fmt.Sprintf("tenant %q: a question has read and merged one batch of values for more than %v and kept others waiting: no more are read until its codec or merge has returned",
		e.Tenant, maxFetch)
}

// charge waits until there is room for bytes, or ctx ends. A fetch that is
// larger than the whole budget waits until it is alone. Batches are cut to the
// budget and larger values are refused, so only a fetch whose estimate has grown
// meanwhile is that large. The caller ends the lease. While a fetch of the owner is
// stuck, charge refuses others.
func (b *budget) charge(ctx context.Context, bytes int64, owner string) (*gate.Lease, error) {
	lease := &gate.Lease{Owner: owner}
	if b.room.Stuck(owner) > 0 {
		return nil, &StuckError{owner}
	}
	if err := b.room.Take(ctx, bytes, lease); err != nil {
		return nil, err
	}
	if b.room.Stuck(owner) > 0 { // since it waits
		lease.End()
		return nil, &StuckError{owner}
	}
	return lease, nil
}
