package reports

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
)

// TestActivity checks that what becomes discoverable while the index is asked
// counts once.
func TestActivity(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	faulty := faulttest.NewIndex(f.index, 1)
	c, err := New(faulty, f.authority, &Options{Now: f.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Add(t.Context(), "a", hosts("h1"), Origin{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, err := c.Activity(t.Context(), "a", noon.Add(-time.Hour))
	if err != nil || len(found.Stored) != 1 || len(found.Waiting) != 0 {
		t.Errorf("stored: %+v, %v", found, err)
	}
	both := unstored(found.Stored, found.Stored, noon.Add(-time.Hour))
	if len(both) != 0 {
		t.Errorf("waiting although it is stored: %v", both)
	}
	other := []index.Entry{{Time: found.Stored[0].Time, Key: "another writer's"}, {Time: noon.Add(-2 * time.Hour).UnixNano()}}
	if left := unstored(other, found.Stored, noon.Add(-time.Hour)); !slices.Equal(left, other[:1]) {
		t.Errorf("waiting: %v", left)
	}
	faulty.Inject(faulttest.Fault{Op: faulttest.Query, Times: 1, Err: errors.New("away")})
	if _, err := c.Activity(t.Context(), "a", noon.Add(-time.Hour)); err == nil {
		t.Error("an index that fails is no error")
	}
}
