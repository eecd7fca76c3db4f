package tiertest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/timeblob/timeblob/tiered"
)

// prompt is how soon after its context ended a call must return.
const prompt = 10 * time.Second

func checkCancelledBefore(ctx context.Context, tier tiered.Tier) error {
	return cancelledBefore(ctx, tier, isCancelled)
}

func checkCancelledDuring(ctx context.Context, tier tiered.Tier) error {
	return cancelledDuring(ctx, tier, isCancelled)
}

func checkCacheCancelledBefore(ctx context.Context, tier tiered.Tier) error {
	return cancelledBefore(ctx, tier, isError)
}

func checkCacheCancelledDuring(ctx context.Context, tier tiered.Tier) error {
	return cancelledDuring(ctx, tier, isError)
}

func isCancelled(err error) bool { return errors.Is(err, context.Canceled) }
func isError(err error) bool     { return err != nil }

// cancelledBefore calls with a context that has ended: an error of the right
// kind must come, also where the answer would have been at hand.
func cancelledBefore(ctx context.Context, tier tiered.Tier, right func(error) bool) error {
	key, blob := Key(), Blob(100)
	if err := put(ctx, tier, key, blob); err != nil {
		return err
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Found(ended, tier, []string{key}); !right(err) {
		return fmt.Errorf("get with a cancelled context returned %v", err)
	}
	if err := tier.Put(ended, Key(), blob); !right(err) {
		return fmt.Errorf("put with a cancelled context returned %v", err)
	}
	return expect(ctx, tier, []string{key}, map[string][]byte{key: blob})
}

// cancelledDuring cancels calls after different times: each must be complete
// or return an error, soon, and the tier must go on working.
func cancelledDuring(ctx context.Context, tier tiered.Tier, right func(error) bool) error {
	want := samples(200)
	if err := putAll(ctx, tier, want); err != nil {
		return err
	}
	for delay := 10 * time.Microsecond; delay < 50*time.Millisecond; delay *= 2 {
		if err := cancelAfter(ctx, tier, delay, want, right); err != nil {
			return fmt.Errorf("cancelled after %v: %w", delay, err)
		}
	}
	return expect(ctx, tier, keysOf(want), want)
}

func cancelAfter(ctx context.Context, tier tiered.Tier, delay time.Duration, want map[string][]byte, right func(error) bool) error {
	ending, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(delay, cancel).Stop()
	begin := time.Now()
	if err := getOrError(ending, tier, want, right); err != nil {
		return err
	}
	key, blob := Key(), Blob(50_000)
	switch err := tier.Put(ending, key, blob); {
	case err == nil:
		if err := expect(ctx, tier, []string{key}, map[string][]byte{key: blob}); err != nil {
			return fmt.Errorf("after Put returned nil: %w", err)
		}
	case !right(err):
		return fmt.Errorf("put returned %w", err)
	}
	if took := time.Since(begin); took > delay+prompt {
		return fmt.Errorf("the calls returned after %v", took)
	}
	return nil
}

// getOrError accepts all of want, or an error of the right kind beside any
// part of it.
func getOrError(ctx context.Context, tier tiered.Tier, want map[string][]byte, right func(error) bool) error {
	got, err := Found(ctx, tier, keysOf(want))
	switch {
	case err == nil && len(got) != len(want):
		return fmt.Errorf("get found %d of %d blobs without an error", len(got), len(want))
	case err != nil && !right(err):
		return fmt.Errorf("get returned %w", err)
	}
	return within(got, want)
}
