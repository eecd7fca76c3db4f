package programs

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/tiered"
)

// TestMemory shrinks what fails.
func TestMemory(t *testing.T) {
	t.Parallel()
	for _, collectors := range []int{1, 2} {
		rapid.Check(t, func(t *rapid.T) {
			idx, tier := index.NewMemIndex(), new(tiered.MemTier)
			open := func(rapid.TB, int) stack {
				return stack{index: idx, authority: tier, close: func() error { return nil }}
			}
			runProgram(t, collectors, open, programs.Draw(t, "program"))
		})
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	seeded(t, count(t, 10), 1, func(t *testing.T, _ int) reopener {
		dir := t.TempDir()
		return func(t rapid.TB, _ int) stack {
			db, err := local.Open(dir, &local.Options{NoSync: true})
			if err != nil {
				t.Fatal(err)
			}
			return stack{index: db.Index(), authority: db.Blobs(), committer: db, close: db.Close}
		}
	})
}
