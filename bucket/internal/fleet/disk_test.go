package fleet

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// disk is the store of an embedded collector, as package local without a log: it
// commits blob and entry together, and a crash takes back the last commits since it
// synced.
type disk struct {
	world   *world
	entries *index.MemIndex
	blobs   *tiered.MemTier

	mu       sync.Mutex // guards what follows
	rng      *rand.Rand
	unsynced []committed
	withheld []*commit
	fails    bool // to sync
	lost     bool // commits, and the next Sync says so
}

type committed struct {
	row   index.Row
	entry index.Entry
}

// commit is one that is under way when its call has returned. As in package local, it ends before a later call for its
// instant or its key begins, and before its process ends or loses commits.
type commit struct {
	ctx   context.Context
	row   index.Row
	entry index.Entry
	blob  []byte
}

// blobOf is the key under which a context holds the blob of a commit, so that a
// faulttest.Index carries it like a put.
type blobOf struct{}

// diskOf is the disk as one process sees it, whose requests end with it.
type diskOf struct {
	*disk
	stores *stores
}

// Put implements index.Index: it commits the entry and the context's blob.
func (d diskOf) Put(ctx context.Context, row index.Row, e index.Entry) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stores.dead.Load() {
		return errDead
	}
	d.land(func(c *commit) bool { return c.row == row && c.entry.Time == e.Time || c.entry.Key == e.Key })
	blob, _ := ctx.Value(blobOf{}).([]byte)
	c := &commit{context.WithoutCancel(ctx), row, e, blob}
	switch d.mishap() {
	case withheld:
		d.withheld = append(d.withheld, c)
		time.AfterFunc(time.Duration(d.rng.Int64N(int64(latest))), func() { d.landOne(c) })
		return errStore
	case applied:
		_ = d.put(c)
		return errStore
	}
	return d.put(c)
}

// put makes a commit. The caller holds mu.
func (d *disk) put(c *commit) error {
	there, err := d.blobs.Get(c.ctx, []string{c.entry.Key})
	if err != nil {
		return err
	}
	if there[0] != nil {
		return index.ErrExists
	}
	if err := d.entries.Put(c.ctx, c.row, c.entry); err != nil {
		return err
	}
	d.unsynced = append(d.unsynced, committed{c.row, c.entry})
	return d.blobs.Put(c.ctx, c.entry.Key, c.blob)
}

// land makes some of the commits that are under way. The caller holds mu.
func (d *disk) land(which func(*commit) bool) {
	d.withheld = slices.DeleteFunc(d.withheld, func(c *commit) bool {
		if !which(c) {
			return false
		}
		_ = d.put(c)
		return true
	})
}

func (d *disk) landOne(one *commit) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.land(func(c *commit) bool { return c == one })
}

// landAll makes all commits that are under way.
func (d *disk) landAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.land(func(*commit) bool { return true })
}

// mishap is what happens to a commit.
type mishap int

const (
	nothing  mishap = iota
	applied         // it is made, and seems to fail
	withheld        // it seems to fail, and is made later
)

func (d *disk) mishap() mishap {
	chance := 0.02
	if d.world.harsh {
		chance = 0.3
	}
	switch {
	case d.world.calm.Load() || d.rng.Float64() >= chance:
		return nothing
	case d.rng.IntN(3) == 0:
		d.world.stats.late.Add(1)
		return applied
	}
	d.world.stats.late.Add(1)
	return withheld
}

// Query implements index.Index.
func (d diskOf) Query(ctx context.Context, row index.Row, from, to int64) ([]index.Entry, error) {
	return d.entries.Query(ctx, row, from, to)
}

// Delete implements index.Deleter. Like every write except Commit, it returns when all is synced.
func (d diskOf) Delete(ctx context.Context, row index.Row, entries []index.Entry) error {
	return d.synced(func() error {
		d.land(func(c *commit) bool {
			return c.row == row && slices.ContainsFunc(entries, func(e index.Entry) bool { return e.Time == c.entry.Time })
		})
		return d.entries.Delete(ctx, row, entries)
	})
}

// Places implements index.Places.
func (d diskOf) Places(ctx context.Context, set index.PlaceSet, from, to int64) ([]index.Place, error) {
	return d.entries.Places(ctx, set, from, to)
}

// SwapPlace implements index.Places.
func (d diskOf) SwapPlace(ctx context.Context, set index.PlaceSet, old string, next index.Place) (swapped bool, err error) {
	err = d.synced(func() (err error) {
		swapped, err = d.entries.SwapPlace(ctx, set, old, next)
		return err
	})
	return swapped, err
}

// StoreTime implements index.Places.
func (d diskOf) StoreTime() time.Time { return time.Now() }

// synced makes a write that syncs the commits before it.
func (d diskOf) synced(write func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.stores.dead.Load():
		return errDead
	case d.fails:
		d.lost = d.lost || len(d.unsynced) > 0
		d.lose()
		return errStore
	}
	d.unsynced = nil
	return write()
}

// Sync makes the commits survive, or loses some of them.
func (d diskOf) Sync(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.stores.dead.Load():
		return errDead
	case d.fails || d.lost:
		d.lose()
		d.lost = false
		return errStore
	}
	d.unsynced = nil
	d.world.stats.syncs.Add(1)
	return nil
}

// crash does what the end of a process does to the disk.
func (d *disk) crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lose()
	d.lost = false
}

// lose takes back the last commits. The caller holds mu.
func (d *disk) lose() {
	d.land(func(*commit) bool { return d.rng.IntN(2) == 0 })
	d.withheld = nil
	kept := d.rng.IntN(len(d.unsynced) + 1)
	for _, c := range slices.Backward(d.unsynced[kept:]) {
		ctx := index.Holding(context.Background())
		if err := d.entries.Delete(ctx, c.row, []index.Entry{c.entry}); err != nil {
			d.world.Error(err)
		}
		if err := d.blobs.Delete(ctx, []string{c.entry.Key}); err != nil {
			d.world.Error(err)
		}
		d.world.stats.takenBack.Add(1)
	}
	d.unsynced = nil
}

// failSyncs lets syncs fail, or not.
func (d *disk) failSyncs(fails bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails = fails
}

// Commit implements index.Committer.
func (g gateIndex) Commit(ctx context.Context, row index.Row, e index.Entry, blob []byte) error {
	return g.Put(context.WithValue(ctx, blobOf{}, slices.Clone(blob)), row, e)
}
