package tiertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/timeblob/timeblob/tiered"
)

func checkNoOverwrite(ctx context.Context, tier tiered.Tier) error {
	key, first := Key(), Blob(100)
	if err := put(ctx, tier, key, first); err != nil {
		return err
	}
	for _, blob := range [][]byte{Blob(100), Blob(5), {}, first} {
		if err := tier.Put(ctx, key, blob); !errors.Is(err, tiered.ErrExists) {
			return fmt.Errorf("put on a taken key returned %v, want ErrExists", err)
		}
		if err := expect(ctx, tier, []string{key}, map[string][]byte{key: first}); err != nil {
			return fmt.Errorf("after Put on a taken key: %w", err)
		}
	}
	return nil
}

// checkOneWriterWins races Puts of one key, several times.
func checkOneWriterWins(ctx context.Context, tier tiered.Tier) error {
	for range 20 {
		if err := race(ctx, tier); err != nil {
			return err
		}
	}
	return nil
}

func race(ctx context.Context, tier tiered.Tier) error {
	key, blobs := Key(), make([][]byte, writers)
	errs := putAtOnce(ctx, tier, key, blobs)
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			return fmt.Errorf("two Puts of key %q returned nil", key)
		case err == nil:
			winner = i
		case !errors.Is(err, tiered.ErrExists):
			return fmt.Errorf("a Put that lost returned %w, want ErrExists", err)
		}
	}
	if winner < 0 {
		return fmt.Errorf("of %d Puts of the new key %q none returned nil", writers, key)
	}
	return expect(ctx, tier, []string{key}, map[string][]byte{key: blobs[winner]})
}

// putAtOnce fills blobs and puts each under key, all at the same time.
func putAtOnce(ctx context.Context, tier tiered.Tier, key string, blobs [][]byte) []error {
	errs := make([]error, len(blobs))
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range blobs {
		blobs[i] = Blob(50 + i)
		wg.Go(func() {
			<-start
			errs[i] = tier.Put(ctx, key, blobs[i])
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// checkCacheTakenKey races Puts of one key: the cache may keep any of them,
// but whole, or none.
func checkCacheTakenKey(ctx context.Context, tier tiered.Tier) error {
	key, blobs := Key(), make([][]byte, writers)
	if err := put(ctx, tier, key, Blob(40)); err != nil {
		return err
	}
	for _, err := range putAtOnce(ctx, tier, key, blobs) {
		if err != nil && !errors.Is(err, tiered.ErrExists) {
			return fmt.Errorf("put on a taken key: %w", err)
		}
	}
	got, err := Found(ctx, tier, []string{key})
	if err != nil {
		return err
	}
	blob, ok := got[key]
	if ok && len(blob) != 40 && !contains(blobs, blob) {
		return fmt.Errorf("get found %d bytes that nobody put", len(blob))
	}
	return nil
}

func contains(blobs [][]byte, blob []byte) bool {
	for _, b := range blobs {
		if bytes.Equal(b, blob) {
			return true
		}
	}
	return false
}

// checkCacheLarge allows a cache to decline a blob that is too big for it,
// with or without an error, but not to forget the others.
func checkCacheLarge(ctx context.Context, tier tiered.Tier) error {
	key, blob, small := Key(), Blob(large), Key()
	want := map[string][]byte{key: blob, small: Blob(10)}
	if err := put(ctx, tier, small, want[small]); err != nil {
		return err
	}
	_ = tier.Put(ctx, key, blob) // declining is allowed
	got, err := Found(ctx, tier, []string{key, small})
	if err != nil {
		return err
	}
	if _, ok := got[small]; !ok {
		return fmt.Errorf("a small blob is gone after a Put of %d bytes", large)
	}
	return within(got, want)
}
