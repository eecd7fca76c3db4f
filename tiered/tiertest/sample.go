package tiertest

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// writers is how many goroutines a check uses at a time.
const writers = 8

// Key returns a random key of the form that bucket makes: 32 hexadecimal
// digits, a slash and the Unix nanoseconds.
func Key() string {
	return prefix() + strconv.FormatInt(1_500_000_000_000_000_000+rand.Int64N(1e17), 10)
}

// prefix is a key up to its instant.
func prefix() string {
	var row [16]byte
	crand.Read(row[:]) // never fails: it ends the process instead
	return hex.EncodeToString(row[:]) + "/"
}

// longestKey returns a random key of the greatest length that bucket makes: of a
// roll-up whose level and instant have the most digits.
func longestKey() string {
	return index.RollUpKey(Key(), math.MaxInt64, math.MinInt64, crand.Text())
}

// Blob returns n random bytes.
func Blob(n int) []byte {
	var seed [32]byte
	crand.Read(seed[:])
	blob := make([]byte, n)
	rand.NewChaCha8(seed).Read(blob)
	return blob
}

// samples returns n keys with a small blob each. Every other key is as long as
// keys can be.
func samples(n int) map[string][]byte {
	blobs := make(map[string][]byte, n)
	for i := range n {
		key := Key()
		if i%2 == 1 {
			key = longestKey()
		}
		blobs[key] = Blob(100 + rand.IntN(400))
	}
	return blobs
}

func keysOf(blobs map[string][]byte) []string {
	keys := make([]string, 0, len(blobs))
	for key := range blobs {
		keys = append(keys, key)
	}
	return keys
}

// putAll puts all blobs, several at a time.
func putAll(ctx context.Context, tier tiered.Tier, blobs map[string][]byte) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for key, blob := range blobs {
		g.Go(func() error { return put(ctx, tier, key, blob) })
	}
	return g.Wait()
}

// put puts a copy, so that a tier that keeps its input keeps none of a check's.
func put(ctx context.Context, tier tiered.Tier, key string, blob []byte) error {
	if err := tier.Put(ctx, key, bytes.Clone(blob)); err != nil {
		return fmt.Errorf("put(%q, %d bytes): %w", key, len(blob), err)
	}
	return nil
}

// expect reads keys and compares what comes with want, which may lack some
// of them: those must be absent.
func expect(ctx context.Context, tier tiered.Tier, keys []string, want map[string][]byte) error {
	got, err := Found(ctx, tier, keys)
	if err != nil {
		return fmt.Errorf("get of %d keys: %w", len(keys), err)
	}
	if err := within(got, want); err != nil {
		return err
	}
	if len(got) != len(want) {
		return fmt.Errorf("get of %d keys found %d blobs, want %d", len(keys), len(got), len(want))
	}
	return nil
}

// within says whether all of got is as in want.
func within(got, want map[string][]byte) error {
	for key, blob := range got {
		w, ok := want[key]
		if !ok {
			return fmt.Errorf("get found key %q, which is not there or was not asked for", key)
		}
		if !bytes.Equal(blob, w) {
			return fmt.Errorf("get(%q) found %d other bytes than the %d that were put", key, len(blob), len(w))
		}
	}
	return nil
}

// roundTrip puts one blob and reads it back.
func roundTrip(ctx context.Context, tier tiered.Tier, key string, blob []byte) error {
	if err := put(ctx, tier, key, blob); err != nil {
		return err
	}
	return expect(ctx, tier, []string{key}, map[string][]byte{key: blob})
}
