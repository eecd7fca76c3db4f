package journal

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// disk is a disk in memory. It knows which bytes and names were forced to it.
type disk struct {
	mu     sync.Mutex // guards what follows, and the files' bytes
	names  map[string]*diskFile
	synced map[string]*diskFile // the names that were forced to the disk
}

type diskFile struct {
	disk   *disk
	data   []byte
	synced []byte
	at     time.Time // of the last write
}

func newDisk() *disk {
	return &disk{names: make(map[string]*diskFile), synced: make(map[string]*diskFile)}
}

func (d *disk) Open(name string, flag int) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.names[name]
	if f == nil && flag&os.O_CREATE == 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if f == nil {
		f = &diskFile{disk: d}
		d.names[name] = f
	}
	if flag&os.O_TRUNC != 0 {
		f.data = nil
	}
	return f, nil
}

func (d *disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names[to] = d.names[from]
	delete(d.names, from)
	return nil
}

func (d *disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.names, name)
	return nil
}

func (d *disk) Names(string) (names []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.names {
		names = append(names, filepath.Base(name))
	}
	return names, nil
}

func (d *disk) MkdirAll(string) error { return nil }

func (d *disk) SyncDir(string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.synced = maps.Clone(d.names)
	return nil
}

func (d *disk) Lock(string, bool) (io.Closer, error) { return io.NopCloser(nil), nil }

func (f *diskFile) ReadAt(b []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return bytes.NewReader(f.data).ReadAt(b, at)
}

func (f *diskFile) WriteAt(b []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if grow := int(at) + len(b) - len(f.data); grow > 0 {
		f.data = append(f.data, make([]byte, grow)...)
	}
	f.at = time.Now()
	return copy(f.data[at:], b), nil
}

func (f *diskFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.data = f.data[:size]
	return nil
}

func (f *diskFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.synced = bytes.Clone(f.data)
	return nil
}

func (f *diskFile) Close() error               { return nil }
func (f *diskFile) Stat() (os.FileInfo, error) { return f, nil }
func (f *diskFile) Name() string               { return "" }
func (f *diskFile) Mode() fs.FileMode          { return 0o600 }
func (f *diskFile) IsDir() bool                { return false }
func (f *diskFile) Sys() any                   { return nil }

func (f *diskFile) Size() int64 {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(len(f.data))
}

func (f *diskFile) ModTime() time.Time {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return f.at
}

// sector is how many bytes reach the disk together.
const sector = 512

// powerLoss returns the disk as it is found when the power is back. Of what was not forced to
// it, each name and each sector is there or not.
func (d *disk) powerLoss(rng *rand.Rand) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := newDisk()
	both := maps.Clone(d.names)
	maps.Copy(both, d.synced)
	for _, name := range slices.Sorted(maps.Keys(both)) {
		f := d.synced[name]
		if now := d.names[name]; now != f && rng.IntN(2) == 0 {
			f = now
		}
		if f == nil {
			continue
		}
		kept := bytes.Clone(f.synced)
		for at := 0; at < len(f.data); at += sector {
			end := min(at+sector, len(f.data))
			if rng.IntN(2) == 0 {
				continue
			}
			if end > len(kept) {
				kept = append(kept, make([]byte, end-len(kept))...)
			}
			copy(kept[at:end], f.data[at:end])
		}
		next.names[name] = &diskFile{disk: next, data: kept, synced: bytes.Clone(kept), at: f.at}
	}
	next.synced = maps.Clone(next.names)
	return next
}

var powers = flag.Int("powers", 60, "disks of TestPowerLoss in each mode of Sync")

var pairs = flag.Int("pairs", 3, "second damages of TestTwoDamagedPlaces for each byte")

// TestPowerLoss takes the power away at random moments, again and again, while records are appended, called done, and
// moved. In mode Always no record is lost for which Append has returned. In mode Interval none is lost that is older than the
// interval. In all modes the journal opens, and a record that it returns has the bytes that were written.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	for mode := Always; mode <= Off; mode++ {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			lost := 0
			for seed := range uint64(*powers) {
				synctest.Test(t, func(t *testing.T) {
					p := &powered{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 11)), disk: newDisk(), acked: make(map[uint64]ackedRecord),
						opts: Options{Sync: mode, Every: 10 * time.Millisecond, SegmentBytes: 2000, MaxBytes: 12_000}}
					for range 6 {
						p.live()
						lost += p.compare()
					}
				})
			}
			if lost == 0 == (mode != Always) {
				t.Errorf("%d records were lost", lost)
			}
		})
	}
}

// powered is a journal whose power goes.
type powered struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
	disk  *disk
	opts  Options
	acked map[uint64]ackedRecord // not done
	off   time.Time              // when the power went
}

type ackedRecord struct {
	text string
	at   time.Time
}

// live opens the journal and uses it until the power goes.
func (p *powered) live() {
	o := p.opts
	o.files = p.disk
	j, err := Open("dir", &o)
	if err != nil {
		p.t.Fatalf("seed %d: %v", p.seed, err)
	}
	for n := p.rng.IntN(120); n > 0; n-- {
		time.Sleep(time.Duration(p.rng.IntN(2000)) * time.Microsecond)
		blob := fmt.Sprint(p.rng.Uint64(), strings.Repeat("x", p.rng.IntN(300)))
		id, err := j.Append(context.Background(), 1, []byte("m"), []byte(blob))
		if err == nil {
			p.acked[id] = ackedRecord{record(id, blob), time.Now()}
		}
		for id := range p.acked {
			if p.rng.IntN(8) > 0 && len(p.acked) > 8 {
				j.End(id)
				delete(p.acked, id)
			}
		}
	}
	p.off = time.Now()
	p.disk = p.disk.powerLoss(p.rng)
	if err := j.Close(); err != nil {
		p.t.Error(err)
	}
}

// compare opens the journal and compares its records with those that were acknowledged. It
// forgets and counts what may be lost and is.
func (p *powered) compare() (lost int) {
	o := p.opts
	o.files, o.ReadOnly = p.disk, true
	j, err := Open("dir", &o)
	if err != nil {
		p.t.Fatalf("seed %d: %v", p.seed, err)
	}
	defer j.Close()
	there := undone(p.t, j)
	for id, r := range p.acked {
		if slices.Contains(there, r.text) {
			continue
		}
		if age := p.off.Sub(r.at); p.opts.Sync == Always || p.opts.Sync == Interval && age > p.opts.Every {
			p.t.Errorf("seed %d: record %d is lost, %v after it was acknowledged: %v", p.seed, id, age, j.Damage())
		}
		delete(p.acked, id)
		lost++
	}
	return lost
}

// TestSyncedEndsSurviveAPowerFailure calls a record done, and takes the power away when Sync has returned. In mode Always the record stays done.
func TestSyncedEndsSurviveAPowerFailure(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			d := newDisk()
			j := mustOpen(t, "dir", &Options{files: d})
			id := mustAppend(t, j, "", strings.Repeat("x", 3*sector))
			j.End(id)
			if err := j.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			after := d.powerLoss(rand.New(rand.NewPCG(seed, 12)))
			mustClose(t, j)
			next := mustOpen(t, "dir", &Options{files: after})
			if got := undone(t, next); len(got) > 0 {
				t.Errorf("seed %d: %.20q is undone", seed, got)
			}
			mustClose(t, next)
		})
	}
}
