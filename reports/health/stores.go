package health

import (
	"context"
	"errors"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// StoreChecks returns checks that an index, an authority and the caches are
// reachable. Each check reads one thing that does not exist. The checks of the
// caches are optional.
func StoreChecks(idx index.Index, authority tiered.Tier, caches []tiered.Cache) []Check {
	checks := []Check{
		{Name: "index", Run: func(ctx context.Context) error {
			_, err := idx.Query(ctx, index.Row{}, 0, 1) // of the first nanosecond of 1970
			return err
		}},
		{Name: "blobs", Run: reading(authority)},
	}
	for _, c := range caches {
		checks = append(checks, Check{Name: "cache " + c.Name, Run: reading(c.Tier), Optional: true})
	}
	return checks
}

// faulty is a tier that knows of a fault that no retry mends, such as a server
// that refuses puts.
type faulty interface{ Fault() error }

// public returns a fault in words that anybody may read, where it has a remedy.
func public(fault error) error {
	var r interface{ Remedy() string }
	if errors.As(fault, &r) {
		return Unready(r.Remedy())
	}
	return fault
}

// reading returns a check that gets a key under which nobody stores a blob. A
// fault that the tier knows of fails it, too.
func reading(tier tiered.Tier) func(context.Context) error {
	keys := []string{index.Row{}.BlobKey(0)}
	return func(ctx context.Context) error {
		if f, ok := tier.(faulty); ok && f.Fault() != nil {
			return public(f.Fault())
		}
		_, err := tier.Get(ctx, keys)
		return err
	}
}
