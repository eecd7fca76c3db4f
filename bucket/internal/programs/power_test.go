package programs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/bucket/internal/idstest"
	"github.com/timeblob/timeblob/journal"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/tiered"
)

// TestPowerLossWithAJournal runs a collector on a directory without a log and on a
// journal, takes the power away at random moments, and starts again from what was
// on the disk. Of what the directory had not synced, none, some or all survives.
// Each value that was acknowledged must be stored exactly once.
func TestPowerLossWithAJournal(t *testing.T) {
	t.Parallel()
	for _, percent := range []int{0, 50, 100} {
		t.Run(fmt.Sprintf("unsynced=%d%%", percent), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(uint64(percent), 3))
			p := &powered{t: t, disk: vfs.NewCrashableMem(), journal: t.TempDir(), taken: make(map[int]bool)}
			for range 8 {
				p.live(time.Duration(rng.IntN(60))*time.Millisecond, vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
			}
			p.check()
		})
	}
}

// powered is a collector, its disk and its journal.
type powered struct {
	t       *testing.T
	disk    *vfs.MemFS
	still   still
	journal string

	mu    sync.Mutex   // guards what follows
	next  int          // the next value
	taken map[int]bool // acknowledged before the power went
}

// still is an injector that injects nothing. While it is locked the disk does nothing.
type still struct{ sync.RWMutex }

func (s *still) MaybeError(errorfs.Op) error {
	s.RLock()
	defer s.RUnlock()
	return nil
}

func (s *still) String() string { return "still" }

func (p *powered) open() (*bucket.Collector[ids], func()) {
	p.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	db, err := local.Open("data", &local.Options{FS: errorfs.Wrap(p.disk, &p.still), NoLog: true, MemtableBytes: 1 << 20, Logger: quiet})
	if err != nil {
		p.t.Fatal(err)
	}
	j, err := journal.Open(p.journal, &journal.Options{SegmentBytes: 64 << 10, MaxBytes: 64 << 20})
	if err != nil {
		p.t.Fatal(err)
	}
	blobs, err := tiered.New(idstest.Codec{}, db.Blobs(), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := bucket.NewCollector(db.Index(), blobs, idstest.Merge, &bucket.CollectorOptions[ids]{Committer: db, Alone: true, Journal: j, Logger: quiet,
		Sync: db.Sync, SyncEvery: 10 * time.Millisecond, Tick: 3 * time.Millisecond, Window: 20 * time.Millisecond})
	if err != nil {
		p.t.Fatal(err)
	}
	return c, func() {
		if err := errors.Join(blobs.Close(context.Background()), j.Close(), db.Close()); err != nil {
			p.t.Error(err)
		}
	}
}

// live runs until the power goes.
func (p *powered) live(after time.Duration, cfg vfs.CrashCloneCfg) {
	c, shut := p.open()
	defer shut()
	running, stop := context.WithCancel(p.t.Context())
	var group sync.WaitGroup
	group.Go(func() { _ = c.Run(running) })
	acked := make(map[int]bool)
	for range 4 {
		group.Go(func() {
			for running.Err() == nil {
				p.add(running, c, acked)
			}
		})
	}
	time.Sleep(after)
	p.keep(acked)
	dir := p.t.TempDir()
	p.still.Lock() // as if both were copied at once: a value is on the disk under a key that the journal knows
	copyFiles(p.t, p.journal, dir)
	disk := p.disk.CrashClone(cfg)
	p.still.Unlock()
	stop()
	group.Wait()
	p.journal, p.disk = dir, disk
}

func (p *powered) add(ctx context.Context, c *bucket.Collector[ids], acked map[int]bool) {
	p.mu.Lock()
	id := p.next
	p.next++
	p.mu.Unlock()
	if c.Add(ctx, "a", ids{id}, nil) == nil {
		p.mu.Lock()
		acked[id] = true
		p.mu.Unlock()
	}
}

// keep notes what was acknowledged.
func (p *powered) keep(acked map[int]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range acked {
		p.taken[id] = true
	}
}

// check delivers what the journal holds and counts what is stored.
func (p *powered) check() {
	c, shut := p.open()
	defer shut()
	if err := c.Close(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	a, err := c.Range(p.t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	found := make(map[int]int)
	for _, id := range a.Value {
		if found[id]++; found[id] > 1 {
			p.t.Errorf("value %d is stored %d times", id, found[id])
		}
	}
	lost := 0
	for id := range p.taken {
		if found[id] == 0 {
			lost++
		}
	}
	if p.t.Logf("%d acknowledged, %d stored, %d lost", len(p.taken), len(found), lost); lost > 0 || len(p.taken) == 0 {
		p.t.Error("values are lost, or none was acknowledged")
	}
}

// copyFiles copies the journal's files while it is in use. A segment that goes
// meanwhile holds only what is done.
func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	names, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := copyFile(filepath.Join(from, name.Name()), filepath.Join(to, name.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
