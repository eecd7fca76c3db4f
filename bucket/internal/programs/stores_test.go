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
	for _, members := range []int{1, 2} {
		rapid.Check(t, func(t *rapid.T) {
			idx, tier := index.NewMemIndex(), new(tiered.MemTier)
			open := func(rapid.TB) stack {
				return stack{index: idx, authority: tier, close: func() error { return nil }}
			}
			levels := mode{Off: rapid.IntRange(0, 3).Draw(t, "levels") == 3, Mute: rapid.Bool().Draw(t, "mute")}
			runProgram(t, here(members, levels, open), programs.Draw(t, "program"))
		})
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	seeded(t, count(t, 10), func(t *testing.T, seed int) {
		runProgram(t, inDirectory(t, mode{Off: seed%4 == 3}), programs.Example(seed))
	})
}

// inDirectory is a world of one collector on a directory.
func inDirectory(t *testing.T, levels mode) world {
	dir := t.TempDir()
	return here(1, levels, func(t rapid.TB) stack {
		db, err := local.Open(dir, &local.Options{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		return stack{index: db.Index(), authority: db.Blobs(), committer: db, close: db.Close}
	})
}
