package tiertest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// RunLister checks tiers that list their keys.
func RunLister(t *testing.T, open func(t *testing.T) tiered.Tier) {
	t.Helper()
	if _, ok := open(t).(tiered.Lister); !ok {
		t.Skip("SKIP: the tier cannot list its keys")
	}
	runAll(t, open, []check{
		{"List", checkList},
		{"ListCancelled", checkListCancelled},
	})
}

// listed is how many blobs checkList puts, more than a page of any store.
const listed = 1100

// checkList: the keys of a row and an interval are listed, each once, and the
// tier may be used in the loop.
func checkList(ctx context.Context, tier tiered.Tier) error {
	row := index.Row{Tenant: Key(), Hour: 480_000}
	want, blobs := make(map[string]bool), make(map[string][]byte)
	for i := range int64(listed) {
		key := row.FreshBlobKey(row.Start()+i, "A")
		want[key], blobs[key] = true, Blob(1)
	}
	other := index.Row{Tenant: row.Tenant, Hour: row.Hour + 1}
	blobs[other.BlobKey(other.Start())] = Blob(1)
	if err := putAll(ctx, tier, blobs); err != nil {
		return err
	}
	for key, err := range tier.(tiered.Lister).List(ctx, row.BlobKeyPrefix(), row.Start(), row.End()) {
		if err != nil {
			return err
		}
		if !want[key] {
			return fmt.Errorf("yielded %q, which is of another row or was yielded before", key)
		}
		if delete(want, key); len(want) == listed/2 {
			if err := tier.Put(ctx, Key(), Blob(1)); err != nil {
				return err
			}
		}
	}
	if len(want) > 0 {
		return fmt.Errorf("%d of %d keys were not yielded", len(want), listed)
	}
	for key, err := range tier.(tiered.Lister).List(ctx, index.Row{Tenant: row.Tenant, Hour: 1}.BlobKeyPrefix(), math.MinInt64, math.MaxInt64) {
		return fmt.Errorf("a row without blobs: yielded %q, %w", key, err)
	}
	return nil
}

func checkListCancelled(ctx context.Context, tier tiered.Tier) error {
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range tier.(tiered.Lister).List(ended, "a", 0, math.MaxInt64) {
		if err != nil {
			return nil
		}
	}
	return errors.New("list with a cancelled context yielded no error")
}
