package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// faulty are the operating system's files, and the faults that a test asks for.
type faulty struct {
	osFiles
	gate sync.RWMutex                // held for reading during each change of a file
	mu   sync.Mutex                  // guards what follows
	fail func(op, name string) error // nil error: the call goes through
	log  []string
}

func (f *faulty) set(fail func(op, name string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

func (f *faulty) check(op, name string) error {
	f.mu.Lock()
	f.log = append(f.log, op+" "+filepath.Base(name))
	fail := f.fail
	f.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(op, filepath.Base(name))
}

func (f *faulty) Open(name string, flag int) (file, error) {
	f.gate.RLock()
	defer f.gate.RUnlock()
	op := "open"
	if flag&os.O_CREATE != 0 {
		op = "create"
	}
	if err := f.check(op, name); err != nil {
		return nil, err
	}
	inner, err := f.osFiles.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return &faultyFile{inner, f, name}, nil
}

func (f *faulty) Rename(from, to string) error {
	f.gate.RLock()
	defer f.gate.RUnlock()
	if err := f.check("rename", from); err != nil {
		return err
	}
	return f.osFiles.Rename(from, to)
}

func (f *faulty) Remove(name string) error {
	f.gate.RLock()
	defer f.gate.RUnlock()
	if err := f.check("remove", name); err != nil {
		return err
	}
	return f.osFiles.Remove(name)
}

// errHidden is the fault of a listing that lacks a file.
var errHidden = errors.New("not listed")

func (f *faulty) Names(dir string) ([]string, error) {
	names, err := f.osFiles.Names(dir)
	return slices.DeleteFunc(names, func(name string) bool { return f.check("list", name) == errHidden }), err
}

func (f *faulty) SyncDir(dir string) error {
	if err := f.check("syncdir", dir); err != nil {
		return err
	}
	return f.osFiles.SyncDir(dir)
}

type faultyFile struct {
	file
	all  *faulty
	name string
}

// WriteAt fails as told. Half of the bytes are written then, as on a disk that
// has become full.
func (f *faultyFile) WriteAt(b []byte, at int64) (int, error) {
	f.all.gate.RLock()
	defer f.all.gate.RUnlock()
	if err := f.all.check("write", f.name); err != nil {
		n, _ := f.file.WriteAt(b[:len(b)/2], at)
		return n, err
	}
	return f.file.WriteAt(b, at)
}

func (f *faultyFile) ReadAt(b []byte, at int64) (int, error) {
	if err := f.all.check("read", f.name); err != nil {
		return 0, err
	}
	return f.file.ReadAt(b, at)
}

func (f *faultyFile) Sync() error {
	if err := f.all.check("sync", f.name); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *faultyFile) Truncate(size int64) error {
	f.all.gate.RLock()
	defer f.all.gate.RUnlock()
	if err := f.all.check("truncate", f.name); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

// crash copies a directory as it is between two changes of its files.
func (f *faulty) crash(t testing.TB, dir string) string {
	t.Helper()
	f.gate.Lock()
	defer f.gate.Unlock()
	return copyDir(t, dir)
}

// calls returns what was called, each call as operation and file.
func (f *faulty) calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.log)
}

// waiting returns the bytes of records that are not written yet.
func (l *ledger) waiting() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reserved
}

// failing returns a fault of calls on names that contain part.
func failing(err error, part string, ops ...string) func(op, name string) error {
	return func(op, name string) error {
		for _, o := range ops {
			if o == op && strings.Contains(name, part) {
				return err
			}
		}
		return nil
	}
}

func mustOpen(t testing.TB, dir string, opts *Options) *Journal {
	t.Helper()
	j, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func mustClose(t testing.TB, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustAppend(t testing.TB, j *Journal, meta, blob string) uint64 {
	t.Helper()
	id, err := j.Append(context.Background(), 1, []byte(meta), []byte(blob))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// undone returns the records that are not done, each as number=meta:blob, and
// fails when Read tells anything else.
func undone(t testing.TB, j *Journal) (all []string) {
	t.Helper()
	err := j.Replay(func(id uint64, kind byte, meta, blob []byte, done bool) error {
		if done {
			return nil
		}
		k, m, b, err := j.Read(id)
		if err != nil || k != kind || !bytes.Equal(m, meta) || !bytes.Equal(b, blob) {
			return fmt.Errorf("Read(%d): %d %.20q %.20q %v; Replay says %d %.20q %.20q", id, k, m, b, err, kind, meta, blob)
		}
		all = append(all, fmt.Sprintf("%d=%s:%s", id, meta, blob))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// logs returns the names of the segments' files.
func logs(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// copyDir copies a journal's files to a new directory, as a crash leaves them.
func copyDir(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		writeFile(t, filepath.Join(to, e.Name()), readFile(t, filepath.Join(dir, e.Name())))
	}
	return to
}

// waitIdle waits until the keeper has nothing to do.
func waitIdle(t testing.TB, j *Journal) {
	t.Helper()
	for {
		_, remove, move := j.ledger.oldest(j.opts.Keep, j.opts.MaxBytes, j.limit())
		if !remove && !move {
			return
		}
		j.keeper.kick()
		time.Sleep(time.Millisecond)
	}
}

// newerHeader returns a segment's header as a newer version would write it.
func newerHeader(b []byte) []byte {
	h := bytes.Clone(b[:headerSize-4])
	binary.BigEndian.PutUint32(h[32:], version+1)
	return binary.BigEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
}

var errDisk = errors.New("injected fault of the disk")

// dice gives the same throws for the same seed, to any goroutine.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(seed uint64) *dice { return &dice{r: rand.New(rand.NewPCG(seed, 0))} }

// one is true in one of n throws.
func (d *dice) one(n int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n) == 0
}
