package tiertest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/tiered"
)

const large = 8_000_000 // bytes; the biggest reports that are seen in practice

func checkSizes(ctx context.Context, tier tiered.Tier) error {
	for _, n := range []int{0, 1, 4_096, 200_000} {
		if err := roundTrip(ctx, tier, Key(), Blob(n)); err != nil {
			return fmt.Errorf("%d bytes: %w", n, err)
		}
	}
	return nil
}

func checkLarge(ctx context.Context, tier tiered.Tier) error {
	return roundTrip(ctx, tier, Key(), Blob(large))
}

// checkBinary puts bytes that protocols of lines and markers trip over.
func checkBinary(ctx context.Context, tier tiered.Tier) error {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, blob := range [][]byte{every, []byte("\r\nEND\r\n"), []byte("\x00"), {0xff, 0xfe}, bytes.Repeat([]byte{0}, 70_000)} {
		if err := roundTrip(ctx, tier, Key(), blob); err != nil {
			return fmt.Errorf("bytes %.20q: %w", blob, err)
		}
	}
	return nil
}

// checkKeys uses keys that are prefixes of each other, takes instants at and
// before 1970, and the longest keys.
func checkKeys(ctx context.Context, tier tiered.Tier) error {
	row, want := prefix(), map[string][]byte{}
	for _, instant := range []string{"0", "-1", "1", "10", "100", "-9223372036854775808", "9223372036854775807"} {
		want[row+instant] = []byte("blob at " + instant)
	}
	longest := longestKey()
	want[longest], want[longest[:len(longest)-1]] = []byte("the longest key"), []byte("a key that begins it")
	if err := putAll(ctx, tier, want); err != nil {
		return err
	}
	return expect(ctx, tier, append(keysOf(want), row+"1000", row+"-10", row+"9"), want)
}

func checkAbsent(ctx context.Context, tier tiered.Tier) error {
	there, blob := Key(), Blob(10)
	if err := expect(ctx, tier, []string{there}, nil); err != nil {
		return fmt.Errorf("before Put: %w", err)
	}
	if err := put(ctx, tier, there, blob); err != nil {
		return err
	}
	return expect(ctx, tier, []string{Key(), there, Key()}, map[string][]byte{there: blob})
}

func checkNoKeys(ctx context.Context, tier tiered.Tier) error {
	return expect(ctx, tier, nil, nil)
}

func checkDuplicates(ctx context.Context, tier tiered.Tier) error {
	key, blob, absent := Key(), Blob(100), Key()
	if err := put(ctx, tier, key, blob); err != nil {
		return err
	}
	return expect(ctx, tier, []string{key, absent, key, absent, key}, map[string][]byte{key: blob})
}

// checkBatch reads 1 000 keys and 50 absent ones in one call.
func checkBatch(ctx context.Context, tier tiered.Tier) error {
	want := samples(1000)
	if err := putAll(ctx, tier, want); err != nil {
		return err
	}
	asked := append(keysOf(want), keysOf(samples(50))...)
	before := slices.Clone(asked)
	if err := expect(ctx, tier, asked, want); err != nil {
		return err
	}
	if !slices.Equal(asked, before) {
		return fmt.Errorf("get changed the keys it was given")
	}
	return nil
}

// checkInput changes what was given to Put after Put returned.
func checkInput(ctx context.Context, tier tiered.Tier) error {
	key, blob := Key(), Blob(1000)
	want := map[string][]byte{key: bytes.Clone(blob)}
	if err := tier.Put(ctx, key, blob); err != nil {
		return fmt.Errorf("put: %w", err)
	}
	if !bytes.Equal(blob, want[key]) {
		return fmt.Errorf("put changed the bytes it was given")
	}
	clear(blob)
	if err := expect(ctx, tier, []string{key}, want); err != nil {
		return fmt.Errorf("after the caller reused its bytes: %w", err)
	}
	return nil
}

// checkOutput changes, and writes beyond the end of, what one Get returned
// and looks at its neighbours and at the next Get.
func checkOutput(ctx context.Context, tier tiered.Tier) error {
	want := samples(10)
	if err := putAll(ctx, tier, want); err != nil {
		return err
	}
	got, err := Found(ctx, tier, keysOf(want))
	if err != nil {
		return err
	}
	rest := maps.Clone(got)
	for key, blob := range got {
		clear(append(blob, make([]byte, 64)...))
		clear(blob)
		delete(rest, key)
		if err := within(rest, want); err != nil {
			return fmt.Errorf("after the caller changed %q of the same batch: %w", key, err)
		}
	}
	if err := expect(ctx, tier, keysOf(want), want); err != nil {
		return fmt.Errorf("after the caller changed what an earlier Get returned: %w", err)
	}
	return nil
}

// checkConcurrent has each of several goroutines write and read: its own
// blobs must be there at once, blobs of others must be right.
func checkConcurrent(ctx context.Context, tier tiered.Tier) error {
	shared := samples(20)
	if err := putAll(ctx, tier, shared); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for range writers {
		g.Go(func() error { return writeAndRead(ctx, tier, shared) })
	}
	return g.Wait()
}

func writeAndRead(ctx context.Context, tier tiered.Tier, shared map[string][]byte) error {
	want := maps.Clone(shared)
	for key, blob := range samples(20) {
		want[key] = blob
		if err := put(ctx, tier, key, blob); err != nil {
			return err
		}
		if err := expect(ctx, tier, keysOf(want), want); err != nil {
			return err
		}
	}
	return nil
}
