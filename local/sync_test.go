package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/timeblob/timeblob/index"
)

// TestNoLogPowerLoss takes the power away, or kills the process, at random moments
// of concurrent commits, syncs and puts to a store without a log. What was
// committed before a Sync that returned nil must be there, and of the rest the
// first commits, each whole.
func TestNoLogPowerLoss(t *testing.T) {
	t.Parallel()
	crashes(t, 2, func(t *testing.T, cfg vfs.CrashCloneCfg) {
		for range 3 {
			disk := vfs.NewCrashableMem()
			for life := range 3 {
				l := &lossy{t: t, disk: disk, cfg: cfg, left: cfg.RNG.IntN(250), synced: make(map[string]int64)}
				l.run()
				disk = l.clone
				l.check(life%2 == 0) // with a log and without
			}
		}
	})
}

// lossy is a store without a log that loses the power.
type lossy struct {
	t    *testing.T
	disk *vfs.MemFS
	cfg  vfs.CrashCloneCfg
	db   *DB

	mu     sync.Mutex // guards what follows
	left   int        // commits until the power goes
	done   map[string]int64
	synced map[string]int64 // commits of each tenant that must survive
	clone  *vfs.MemFS       // the disk after the loss
	places int64            // that must survive
}

func (l *lossy) run() {
	db, err := Open("a/b", &Options{FS: l.disk, MemtableBytes: 1 << 20, NoLog: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		l.t.Fatal(err)
	}
	defer db.Close()
	l.db, l.done = db, make(map[string]int64)
	var group sync.WaitGroup
	for w := range writers {
		tenant := fmt.Sprintf("t%d", w)
		at := int64(len(entriesOf(l.t, db, tenant)))
		l.done[tenant], l.synced[tenant] = at, at
	}
	for tenant, at := range l.counts() {
		group.Go(func() { l.write(tenant, at) })
	}
	group.Go(l.sync)
	group.Go(l.swap)
	group.Wait()
}

func (l *lossy) write(tenant string, at int64) {
	for ; !l.gone(); at++ {
		row, e, blob := sample(tenant, instant(at), sizeOf(at))
		if err := l.db.Commit(context.Background(), row, e, blob); err != nil {
			l.t.Error(err)
			return
		}
		l.note(tenant, at+1)
	}
}

func (l *lossy) gone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clone != nil
}

func (l *lossy) note(tenant string, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done[tenant] = n
	if l.left--; l.left < 0 && l.clone == nil {
		l.clone = l.disk.CrashClone(l.cfg)
	}
}

func (l *lossy) counts() map[string]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := make(map[string]int64)
	for tenant, n := range l.done {
		counts[tenant] = n
	}
	return counts
}

// lasts notes that so many commits of each tenant survive, unless the power is
// gone already.
func (l *lossy) lasts(counts map[string]int64, places int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clone == nil {
		l.synced, l.places = counts, max(l.places, places)
	}
}

func (l *lossy) sync() {
	for !l.gone() {
		counts := l.counts()
		if err := l.db.Sync(context.Background()); err != nil {
			l.t.Error(err)
			return
		}
		l.lasts(counts, 0)
	}
}

// swap writes what is no commit: it lasts when it returns, and so do the commits
// before it.
func (l *lossy) swap() {
	there, err := l.db.Index().Places(context.Background(), index.PlaceSet{Tenant: "t", Level: 60}, 0, 1<<40)
	if err != nil {
		l.t.Error(err)
	}
	for start := int64(len(there)); !l.gone(); start++ {
		counts := l.counts()
		place := index.Place{Start: start, ID: "id"}
		if _, err := l.db.Index().SwapPlace(context.Background(), index.PlaceSet{Tenant: "t", Level: 60}, "", place); err != nil {
			l.t.Error(err)
			return
		}
		l.lasts(counts, start+1)
	}
}

// check opens what the loss left.
func (l *lossy) check(noLog bool) {
	l.t.Helper()
	db, err := Open("a/b", &Options{FS: l.clone, NoLog: noLog, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		l.t.Fatal(err)
	}
	defer db.Close()
	for tenant, least := range l.synced {
		entries := entriesOf(l.t, db, tenant)
		if n := int64(len(entries)); n < least {
			l.t.Fatalf("%s: %d entries, %d were synced", tenant, n, least)
		}
		for n, e := range entries {
			checkWhole(l.t, db, tenant, int64(n), e)
		}
	}
	places, err := db.Index().Places(l.t.Context(), index.PlaceSet{Tenant: "t", Level: 60}, 0, 1<<40)
	if err != nil || int64(len(places)) < l.places {
		l.t.Fatalf("%d places, %d were swapped: %v", len(places), l.places, err)
	}
}

// TestNoLogFaults fails the writes of a store without a log, one after the other.
// Sync must tell of every commit that is lost.
func TestNoLogFaults(t *testing.T) {
	t.Parallel()
	for at := range int64(40) {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			var open atomic.Bool
			fault := &trap{match: func(op errorfs.Op) bool { return open.Load() && writes(op) }, err: errDisk, at: at + 1, count: 1}
			mem := vfs.NewCrashableMem()
			db := openIn(t, "data", &Options{FS: errorfs.Wrap(mem, fault), NoLog: true, MemtableBytes: 1 << 20})
			db.pause = 0
			open.Store(true)
			synced := commitUntilSynced(t, db)
			open.Store(false) // or the fault meets Close
			if fault.hit.Load() == 0 {
				t.Skip("so many writes are not needed")
			}
			disk := mem.CrashClone(vfs.CrashCloneCfg{})
			for _, db := range []*DB{db, openIn(t, "data", &Options{FS: disk})} {
				if got := len(entriesOf(t, db, "t")); got != synced {
					t.Errorf("%d entries, want %d", got, synced)
				}
			}
		})
	}
}

// commitUntilSynced commits and syncs in turn, and repeats what a Sync that fails
// may have lost.
func commitUntilSynced(t *testing.T, db *DB) (n int) {
	t.Helper()
	const commits = 12
	for begun := int64(0); begun < commits; {
		for at := begun; at < begun+3; at++ {
			row, e, blob := sample("t", instant(at), sizeOf(at))
			for err := errDisk; err != nil && !errors.Is(err, index.ErrExists); {
				err = db.Commit(t.Context(), row, e, blob)
			}
		}
		if db.Sync(t.Context()) == nil {
			begun += 3
		}
	}
	return commits
}

// TestNoLogSavesAtTheEnd closes a store, and backs it up, without a Sync.
func TestNoLogSavesAtTheEnd(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	db := openIn(t, "data", &Options{FS: mem, NoLog: true})
	commit(t, db, "t", 0, 100)
	if err := db.Backup(t.Context(), "copy"); err != nil {
		t.Fatal(err)
	}
	commit(t, db, "t", 1, 100)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	disk := mem.CrashClone(vfs.CrashCloneCfg{})
	for dir, want := range map[string]int{"copy": 1, "data": 2} {
		if got := len(entriesOf(t, openIn(t, dir, &Options{FS: disk}), "t")); got != want {
			t.Errorf("%s has %d entries, want %d", dir, got, want)
		}
	}
}

// TestNoLogFlushesAreShared waits with one flush for many puts.
func TestNoLogFlushesAreShared(t *testing.T) {
	t.Parallel()
	var syncs atomic.Int64
	count := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData {
			syncs.Add(1)
		}
		return nil
	})
	db := openIn(t, "data", &Options{FS: errorfs.Wrap(vfs.NewMem(), count), NoLog: true})
	before := syncs.Load()
	db.engine.saves.turn.Lock() // a flush is under way
	var group sync.WaitGroup
	const puts = 50
	for n := range int64(puts) {
		group.Go(func() {
			row, e, _ := sample("t", n, 0)
			if err := db.Index().Put(t.Context(), row, e); err != nil {
				t.Error(err)
			}
		})
	}
	for len(entriesOf(t, db, "t")) < puts { // in memory, and not on disk yet
	}
	db.engine.saves.turn.Unlock()
	group.Wait()
	if n := syncs.Load() - before; n > puts/2 {
		t.Errorf("%d puts took %d syncs", puts, n)
	}
}

// BenchmarkNoLog says what a day of commits writes for each byte of blob, with a
// Sync after so many bytes, beside a store with a log.
func BenchmarkNoLog(b *testing.B) {
	const tenants, entries, size = 16, 2400, 20 << 10
	for _, every := range []int{0, 2 << 20, 8 << 20, 24 << 20} {
		b.Run(fmt.Sprintf("sync=%dMiB", every>>20), func(b *testing.B) {
			for b.Loop() {
				db := openIn(b, b.TempDir(), &Options{NoSync: every == 0, NoLog: every > 0})
				before := written(b)
				commitDay(b, db, tenants, entries, size, every)
				b.ReportMetric(float64(written(b)-before)/(tenants*entries*size), "written/byte")
			}
		})
	}
}

func commitDay(b *testing.B, db *DB, tenants, entries, size, every int) {
	b.Helper()
	since := 0
	for n := range int64(entries) {
		for w := range tenants {
			commit(b, db, string(rune('a'+w)), n*36e9, size)
			if since += size; every > 0 && since >= every {
				since = 0
				if err := db.Sync(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

// TestNoLogSavesWhatIsThere puts an entry again whose first put was given up. When
// the second says that it exists, it must survive.
func TestNoLogSavesWhatIsThere(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	db := openIn(t, "data", &Options{FS: mem, NoLog: true})
	row, e, _ := sample("t", 1, 0)
	db.engine.saves.turn.Lock() // the first put hangs
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for len(entriesOf(t, db, "t")) == 0 {
		}
		cancel()
	}()
	if err := db.Index().Put(ctx, row, e); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	db.engine.saves.turn.Unlock()
	if err := db.Index().Put(t.Context(), row, e); !errors.Is(err, index.ErrExists) {
		t.Fatal(err)
	}
	disk := mem.CrashClone(vfs.CrashCloneCfg{})
	if n := len(entriesOf(t, openIn(t, "data", &Options{FS: disk}), "t")); n != 1 {
		t.Errorf("%d entries survived", n)
	}
}
