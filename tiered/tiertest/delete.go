package tiertest

import (
	"context"
	"errors"
	"fmt"

	"github.com/timeblob/timeblob/tiered"
)

// errNotOffered makes a check of an optional interface say SKIP.
var errNotOffered = errors.New("the tier is no tiered.Deleter")

// checkDelete removes blobs, as often as it is asked and no others.
func checkDelete(ctx context.Context, tier tiered.Tier) error {
	d, ok := tier.(tiered.Deleter)
	if !ok {
		return errNotOffered
	}
	kept, gone := map[string][]byte{Key(): Blob(10), Key(): Blob(20)}, map[string][]byte{Key(): Blob(10), Key(): {}, Key(): Blob(30)}
	all := append(keysOf(kept), keysOf(gone)...)
	if err := errors.Join(putAll(ctx, tier, kept), putAll(ctx, tier, gone), d.Delete(ctx, nil)); err != nil {
		return err
	}
	for range 2 {
		if err := d.Delete(ctx, append(keysOf(gone), Key())); err != nil {
			return fmt.Errorf("delete of %d keys: %w", len(gone)+1, err)
		}
		if err := expect(ctx, tier, all, kept); err != nil {
			return fmt.Errorf("after Delete: %w", err)
		}
	}
	ended, end := context.WithCancel(ctx)
	end()
	if err := d.Delete(ended, keysOf(kept)); err == nil {
		return errors.New("delete under a context that has ended returned nil")
	}
	return nil
}
