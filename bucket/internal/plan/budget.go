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

// maxFetch is how long a fetch keeps its part of the budget when others wait. Its
// store, codec or merge may never return.
const maxFetch = time.Minute

func newBudget(limit int64) *budget { return &budget{limit, gate.NewRoom(limit, maxFetch)} }

// StuckError says that a question about a tenant does not end, and keeps others from
// being read.
type StuckError struct{ Tenant string }

func (e *StuckError) Error() string {
	return fmt.Sprintf("tenant %q: one batch of a question has taken more than %v while other questions waited: no more are read until its store, codec or merge has returned",
		e.Tenant, maxFetch)
}

// charge waits until there is room for bytes, or ctx ends. A fetch that is
// larger than the whole budget waits until it is alone. Batches are cut to the
// budget and larger values are refused, so only a fetch whose estimate has grown
// meanwhile is that large. The caller ends the lease. While a fetch of one of the
// tenants is stuck, charge refuses others.
func (b *budget) charge(ctx context.Context, bytes int64, tenants []string) (*gate.Lease, error) {
	lease := &gate.Lease{Owners: tenants}
	if err := b.stuck(tenants); err != nil {
		return nil, err
	}
	if err := b.room.Take(ctx, bytes, lease); err != nil {
		return nil, err
	}
	if err := b.stuck(tenants); err != nil { // it became stuck while this call waited
		lease.End()
		return nil, err
	}
	return lease, nil
}

// stuck returns a *StuckError if a fetch of one of the tenants is stuck.
func (b *budget) stuck(tenants []string) error {
	for _, tenant := range tenants {
		if b.room.Stuck(tenant) > 0 {
			return &StuckError{tenant}
		}
	}
	return nil
}
