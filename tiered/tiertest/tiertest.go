// Package tiertest checks that a tier keeps what tiered.Tier promises, and
// makes tiers that fail on purpose.
//
// A driver's test is one call:
//
//	func TestConformance(t *testing.T) {
//		tiertest.Run(t, func(t *testing.T) tiered.Tier { return openEmpty(t) })
//	}
package tiertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/timeblob/timeblob/tiered"
)

// patience bounds each check, so that a tier that hangs fails by name.
const patience = 2 * time.Minute

// Open returns a tier for one check and releases it with t.Cleanup. The tier
// need not be empty: checks use random keys and touch no others. Checks run
// in parallel, each with a tier of its own, which may be views of one store.
type Open func(t *testing.T) tiered.Tier

// check is one promise. It returns what was broken.
type check struct {
	name string
	run  func(ctx context.Context, tier tiered.Tier) error
}

// both are the promises of authorities and of caches.
var both = []check{
	{"Sizes", checkSizes},
	{"Binary", checkBinary},
	{"Keys", checkKeys},
	{"Absent", checkAbsent},
	{"NoKeys", checkNoKeys},
	{"Duplicates", checkDuplicates},
	{"Batch", checkBatch},
	{"InputIsTheCallers", checkInput},
	{"OutputIsTheCallers", checkOutput},
	{"Concurrent", checkConcurrent},
	{"Delete", checkDelete},
}

// Run checks an authority: it never overwrites, and it finds whatever size of
// blob it took.
func Run(t *testing.T, open func(t *testing.T) tiered.Tier) {
	t.Helper()
	runAll(t, open, both)
	runAll(t, open, []check{
		{"LargeBlob", checkLarge},
		{"NoOverwrite", checkNoOverwrite},
		{"OneWriterWins", checkOneWriterWins},
		{"CancelledBefore", checkCancelledBefore},
		{"CancelledDuring", checkCancelledDuring},
	})
}

// RunCache checks a cache: it may overwrite or not, and may decline blobs of
// more than 200 kB, but it never answers with other bytes than were put. The
// tier must have room for 4 MiB and keep blobs for a minute.
func RunCache(t *testing.T, open func(t *testing.T) tiered.Tier) {
	t.Helper()
	runAll(t, open, both)
	runAll(t, open, []check{
		{"LargeBlob", checkCacheLarge},
		{"TakenKey", checkCacheTakenKey},
		{"CancelledBefore", checkCacheCancelledBefore},
		{"CancelledDuring", checkCacheCancelledDuring},
	})
}

func runAll(t *testing.T, open Open, checks []check) {
	t.Helper()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tier := open(t)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err := c.run(ctx, tier)
			if errors.Is(err, errNotOffered) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
