package local

import (
	"errors"
	"os"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/timeblob/timeblob/local/internal/wal"
)

// fuse is the file system that an engine writes through. Pebble ends the
// process when a write to its log or manifest fails, with a panic under locks
// in places, as it must not go on. The fuse gives it a way to go on that
// cannot do harm: the first write that fails blows the fuse, and from then on
// nothing reaches the disk any more, neither writes nor removals, while Pebble
// is told that all is well. The files stay as a crash at that moment would
// have left them, which is what Pebble recovers from when it is opened again.
//
// The fuse is blown before the failed write returns. So a caller that finds it whole after a synced write knows that the sync was real.
type fuse struct {
	vfs.FS // reads, and writes while the fuse is whole
	dir    string
	cause  atomic.Pointer[error]
	logs   logs

	manifests wal.Manifests
	damage    damage
}

func newFuse(dir string, opts *Options) *fuse {
	f := &fuse{FS: opts.FS, dir: dir}
	f.logs = logs{lazy: opts.NoSync, note: wal.NoteOfLogs(opts.FS, dir), blown: f.blown}
	f.manifests = wal.Manifests{Note: wal.NoteOfManifests(opts.FS, dir), Blown: f.blown}
	return f
}

// holds tells whether a name is in the store's directory. Faults elsewhere, as
// where a backup goes, do not blow the fuse.
func (f *fuse) holds(name string) bool { return name == f.dir || f.PathDir(name) == f.dir }

// blown returns the error that blew the fuse, nil while it is whole.
func (f *fuse) blown() error {
	if cause := f.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

// blow cuts the disk off. The first cause stays.
func (f *fuse) blow(cause error) { f.cause.CompareAndSwap(nil, &cause) }

// write does op unless the fuse is blown, and blows it when op fails.
func (f *fuse) write(op func() error) {
	if f.blown() != nil {
		return
	}
	if err := op(); err != nil {
		f.blow(err)
	}
}

// open is write for what returns a file; a blown fuse gives one in memory.
func (f *fuse) open(op func() (vfs.File, error)) (file vfs.File, err error) {
	f.write(func() error {
		file, err = op()
		return err
	})
	if file != nil && err == nil {
		return &fusedFile{File: file, fuse: f}, nil
	}
	return vfs.NewMem().Create("lost", vfs.WriteCategoryUnspecified)
}

func (f *fuse) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if !f.holds(name) {
		return f.FS.Create(name, c)
	}
	file, err := f.open(func() (vfs.File, error) { return f.FS.Create(name, c) })
	if f.blown() == nil {
		f.manifests.Created(name)
	}
	return f.manifests.Opened(name, f.logs.opened(name, file)), err
}

func (f *fuse) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if !f.holds(name) {
		return f.FS.OpenReadWrite(name, c, opts...)
	}
	return f.open(func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, opts...) })
}

func (f *fuse) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.open(func() (vfs.File, error) { return f.FS.ReuseForWrite(old, name, c) })
	return f.logs.opened(name, file), err
}

func (f *fuse) OpenDir(name string) (vfs.File, error) {
	if !f.holds(name) {
		return f.FS.OpenDir(name)
	}
	dir, err := f.open(func() (vfs.File, error) { return f.FS.OpenDir(name) })
	return &fusedDirectory{dir, f}, err
}

func (f *fuse) Link(old, name string) error {
	if !f.holds(name) {
		return f.FS.Link(old, name)
	}
	f.write(func() error { return f.FS.Link(old, name) })
	return nil
}

func (f *fuse) Rename(old, name string) error {
	if !f.holds(name) {
		return f.FS.Rename(old, name)
	}
	f.write(func() error { return f.FS.Rename(old, name) })
	return nil
}

func (f *fuse) MkdirAll(dir string, perm os.FileMode) error {
	if !f.holds(dir) {
		return f.FS.MkdirAll(dir, perm)
	}
	f.write(func() error { return f.FS.MkdirAll(dir, perm) })
	return nil
}

// Remove's errors are Pebble's to handle: it removes again at the next start.
func (f *fuse) Remove(name string) error {
	if f.holds(name) && f.blown() != nil {
		return nil
	}
	return f.FS.Remove(name)
}

func (f *fuse) RemoveAll(name string) error {
	if f.holds(name) && f.blown() != nil {
		return nil
	}
	return f.FS.RemoveAll(name)
}

func (f *fuse) Unwrap() vfs.FS { return f.FS }

// close closes the files that say what is on disk.
func (f *fuse) close() error { return errors.Join(f.logs.close(), f.manifests.Close()) }

// fusedDirectory is the store's directory.
type fusedDirectory struct {
	vfs.File // a fusedFile
	fuse     *fuse
}

func (d *fusedDirectory) Sync() error {
	made := d.fuse.manifests.Made()
	err := d.File.Sync()
	if err == nil && d.fuse.blown() == nil {
		d.fuse.manifests.Lasts(made)
	}
	return err
}

// fusedFile is a file that was opened for writing, or a directory.
type fusedFile struct {
	vfs.File
	fuse *fuse
}

func (f *fusedFile) Write(p []byte) (int, error) {
	n := len(p)
	f.fuse.write(func() error { _, err := f.File.Write(p); return err })
	return n, nil
}

func (f *fusedFile) WriteAt(p []byte, off int64) (int, error) {
	n := len(p)
	f.fuse.write(func() error { _, err := f.File.WriteAt(p, off); return err })
	return n, nil
}

// Preallocate is a hint, which some file systems do not take.
func (f *fusedFile) Preallocate(off, length int64) error {
	if f.fuse.blown() != nil {
		return nil
	}
	return f.File.Preallocate(off, length)
}

func (f *fusedFile) Sync() error {
	f.fuse.write(f.File.Sync)
	return nil
}

func (f *fusedFile) SyncData() error {
	f.fuse.write(f.File.SyncData)
	return nil
}

func (f *fusedFile) SyncTo(length int64) (full bool, err error) {
	f.fuse.write(func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, nil
}

// Close always closes the file, and counts as a write while the fuse is whole.
func (f *fusedFile) Close() error {
	if err := f.File.Close(); err != nil {
		f.fuse.blow(err)
	}
	return nil
}
