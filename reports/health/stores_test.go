package health

import (
	"context"
	"errors"
	"testing"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// refusing is a tier that reads well and knows that it cannot store.
type refusing struct {
	tiered.MemTier
	fault error
}

func (r *refusing) Fault() error { return r.fault }

// TestFaultsOfATier checks that a tier that knows that it cannot store is not ready.
func TestFaultsOfATier(t *testing.T) {
	t.Parallel()
	for _, fault := range []error{nil, errors.New("no conditional puts")} {
		for _, c := range StoreChecks(index.NewMemIndex(), &refusing{fault: fault}, nil) {
			want := fault
			if c.Name != "blobs" {
				want = nil
			}
			if err := c.Run(context.Background()); !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("check %q: got error %v, want %v", c.Name, err, want)
			}
		}
	}
}
