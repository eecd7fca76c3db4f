package local

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestPowerLoss takes the power away at random moments of concurrent commits,
// flushes and compactions; of what was not synced, none, some or all survives.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	crashes(t, 1, func(t *testing.T, cfg vfs.CrashCloneCfg) {
		for range 2 {
			disk, acked := losePower(t, vfs.NewCrashableMem(), cfg.RNG.IntN(250), cfg)
			checkAfterCrash(t, "a/b", &Options{FS: disk}, acked)
			disk, acked = losePower(t, disk, cfg.RNG.IntN(250), cfg)
			checkAfterCrash(t, "a/b", &Options{FS: disk}, acked)
		}
	})
}

// crashes runs a test of crashes that none, some or all of what was not synced
// survives.
func crashes(t *testing.T, seed uint64, run func(*testing.T, vfs.CrashCloneCfg)) {
	t.Helper()
	for _, percent := range []int{0, 30, 70, 100} {
		t.Run(fmt.Sprintf("unsynced=%d%%", percent), func(t *testing.T) {
			t.Parallel()
			run(t, vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(uint64(percent), seed))})
		})
	}
}

// losePower has writers commit n times or a little more, and returns the disk
// as it was at some moment then, and what had been acknowledged by then.
func losePower(t *testing.T, disk *vfs.MemFS, n int, cfg vfs.CrashCloneCfg) (clone *vfs.MemFS, acked map[string]int64) {
	t.Helper()
	db, err := Open("a/b", &Options{FS: disk, MemtableBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var mu sync.Mutex // guards n, acked and clone
	var group sync.WaitGroup
	acked = make(map[string]int64)
	goOn := func(tenant string, at int64) bool {
		mu.Lock()
		defer mu.Unlock()
		if clone != nil {
			return false
		}
		acked[tenant] = at
		if n--; n < 0 {
			clone = disk.CrashClone(cfg)
		}
		return true
	}
	for w := range writers {
		tenant := fmt.Sprintf("t%d", w)
		group.Go(func() {
			for at := int64(len(entriesOf(t, db, tenant))); goOn(tenant, at); at++ {
				row, e, blob := sample(tenant, instant(at), sizeOf(at))
				if err := db.Commit(context.Background(), row, e, blob); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	return clone, acked
}
