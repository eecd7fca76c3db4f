package bucket

import (
	"context"
	"fmt"
)

// live is the live window at one moment.
type live[T any] struct {
	edits, tickEdits uint64
	answer           []T // its value, when that is known
	sealed           []*lazy[T]
	few              bool
	rest             []*lazy[T] // late values, and the open tick's
}

// liveWindow returns the value of a tenant's live window, if it has one. Of
// questions about one tenant, one at a time merges; the others wait and find
// its answer.
func (c *Collector[T]) liveWindow(ctx context.Context, tenant string, now int64) ([]T, error) {
	t := c.tenants.lookup(tenant)
	if t == nil {
		return nil, nil
	}
	select {
	case t.asking <- struct{}{}:
		defer func() { <-t.asking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l, err := t.look(now)
	if err != nil || l.answer != nil {
		return l.answer, err
	}
	if l.few && len(l.sealed) > 1 {
		v, err := c.lazies.merge(ctx, l.sealed)
		if err != nil {
			return nil, fmt.Errorf("the live window of tenant %q: %w", tenant, err)
		}
		sum := decodedWith(v, nil)
		t.keepSum(&l, sum)
		l.sealed = []*lazy[T]{sum}
	}
	parts := append(l.sealed, l.rest...)
	if len(parts) == 0 {
		return nil, nil
	}
	v, err := c.lazies.merge(ctx, parts)
	if err != nil {
		return nil, fmt.Errorf("the live window of tenant %q: %w", tenant, err)
	}
	if len(parts) > 1 { // a value alone may be held as its blob
		t.keepAnswer(&l, v)
	}
	return []T{v}, nil
}
