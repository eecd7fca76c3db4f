package local

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrReadOnly is in the error of a write to a store that can only be read, because
// its disk is full or read-only. The error holds the cause as well.
var ErrReadOnly = errors.New("the store can only be read")

// unwritable tells whether an error says that a disk is full or read-only.
func unwritable(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS)
}

// probe writes a file of this name and size. Pebble writes about as many bytes when it opens a store.
const (
	probeName  = "PROBE.tmp"
	probeBytes = 64 << 10
)

// probe returns why nothing can be written to a directory because it is full or
// read-only. It leaves no file behind. Other faults are told by what meets them.
func probe(fsys vfs.FS, dir string) error {
	name := fsys.PathJoin(dir, probeName)
	f, err := fsys.Create(name, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write(make([]byte, probeBytes))
		err = errors.Join(err, f.Sync(), f.Close(), fsys.Remove(name))
	}
	if unwritable(err) {
		return err
	}
	return nil
}

// roomForLogs reports whether the disk has room for the tables that replaying the logs
// makes, as far as the file system says how much is free.
func roomForLogs(fsys vfs.FS, dir string) bool {
	names, err := fsys.List(dir)
	usage, usageErr := fsys.GetDiskUsage(dir)
	if err != nil || usageErr != nil {
		return true
	}
	need := uint64(probeBytes)
	for _, name := range names {
		if _, isLog := logNumber(name); !isLog {
			continue
		}
		if info, err := fsys.Stat(fsys.PathJoin(dir, name)); err == nil {
			need += uint64(info.Size())
		}
	}
	return usage.AvailBytes >= need
}

// startReadOnly opens a store to which nothing can be written.
func startReadOnly(dir string, lock *pebble.Lock, opts *Options, cause error) (*engine, error) {
	fuse := newFuse(dir, opts)
	o := pebbleOptions(lock, opts, fuse)
	o.ReadOnly = true
	e, err := openPebble(dir, o, fuse)
	if err != nil {
		return nil, errors.Join(cause, err)
	}
	e.readOnly = fmt.Errorf("%w: %w", ErrReadOnly, cause)
	opts.Logger.Warn("store is opened to read only", "dir", dir, "err", cause.Error())
	return e, nil
}

// makeRoom removes the tables that the manifest does not name. The start that failed for
// want of room has left them. Pebble removes them too, but only when it has opened the
// store to write, and each attempt leaves new ones.
func (e *engine) makeRoom(dir string, opts *Options) {
	levels, err := e.pebble.SSTables()
	names, listErr := opts.FS.List(dir)
	if err != nil || listErr != nil {
		return
	}
	live := tableFiles(levels)
	for _, name := range names {
		if filepath.Ext(name) == ".sst" && !live[name] {
			_ = opts.FS.Remove(opts.FS.PathJoin(dir, name)) // Pebble tries again
		}
	}
}

// tableFiles returns the names of the files of tables.
func tableFiles(levels [][]pebble.SSTableInfo) map[string]bool {
	files := make(map[string]bool)
	for _, t := range slices.Concat(levels...) {
		files[t.BackingSSTNum.String()+".sst"] = true
	}
	return files
}

// acquireWriter returns an engine that takes writes, for one call, which must
// release.
func (db *DB) acquireWriter() (*engine, error) {
	db.revive()
	e, err := db.acquire()
	if err != nil {
		return nil, err
	}
	if e.readOnly != nil {
		db.release()
		return nil, e.readOnly
	}
	return e, nil
}

// unlocked is a file system without locks: nobody writes to a read-only one.
type unlocked struct{ vfs.FS }

func (unlocked) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }
