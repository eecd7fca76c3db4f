package local

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/timeblob/timeblob/local/internal/wal"
)

// DamageError says that a file of a store is not as it was written. The store is
// not opened then.
type DamageError struct {
	File string // its name in the directory
	What string // what is wrong
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged: %s. Restore a backup, or save the rest with collector repair", e.File, e.What)
}

// logNumber returns the number of the log in a file's name.
func logNumber(name string) (number uint64, ok bool) {
	text, ok := strings.CutSuffix(filepath.Base(name), ".log")
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseUint(text, 10, 64)
	return number, err == nil
}

// checkLogs refuses a directory whose logs are damaged, and says where a crash has
// cut one.
func checkLogs(dir string, opts *Options) error {
	names, err := opts.FS.List(dir)
	if err != nil {
		return err
	}
	synced, err := wal.ReadSynced(opts.FS, dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		number, ok := logNumber(name)
		if !ok {
			continue
		}
		if err := checkLog(dir, name, number, synced, opts); err != nil {
			return err
		}
	}
	gone, err := missingLog(dir, opts)
	if gone != nil {
		return gone
	}
	return err
}

// missingLog returns what is wrong when the newest log is missing.
func missingLog(dir string, opts *Options) (*DamageError, error) {
	names, err := opts.FS.List(dir)
	if err != nil {
		return nil, err
	}
	synced, err := wal.ReadSynced(opts.FS, dir)
	if err != nil {
		return nil, err
	}
	var newest uint64
	for _, name := range names {
		if number, ok := logNumber(name); ok {
			newest = max(newest, number)
		}
	}
	if newest >= synced.Log {
		return nil, nil
	}
	return &DamageError{fmt.Sprintf("%06d.log", synced.Log), fmt.Sprintf("it is missing, and held %d bytes", synced.Length)}, nil
}

// checkManifest refuses a directory whose manifest is damaged.
func checkManifest(dir string, opts *Options) error {
	m, err := wal.CheckManifest(opts.FS, dir)
	if err == nil && m.Damage != "" {
		err = &DamageError{m.Name, m.Damage}
	}
	return err
}

func checkLog(dir, name string, number uint64, synced wal.Synced, opts *Options) error {
	f, err := opts.FS.Open(opts.FS.PathJoin(dir, name))
	if err != nil {
		return err
	}
	log, err := wal.Read(f, number, nil)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var known int64
	if number == synced.Log {
		known = synced.Length
	}
	if what := log.Damage(known); what != "" {
		return &DamageError{name, what}
	}
	if log.Cut {
		opts.Logger.Warn("a crash cut the last write, which was not acknowledged", "dir", dir, "file", name, "at", log.Record)
	}
	return nil
}

// logs is Pebble's write-ahead logs that are open. It notes in the file SYNCED
// how much of the newest is on disk. With lazy set it leaves out the syncs that
// Pebble asks for, until sync.
type logs struct {
	lazy  bool
	blown func() error // why nothing may reach the disk any more

	mu     sync.Mutex
	open   map[*logFile]struct{} // guarded by mu
	note   wal.Note              // SYNCED; guarded by mu
	synced wal.Synced            // what it says; guarded by mu
}

// logFile is a log that is being written.
type logFile struct {
	vfs.File
	logs    *logs
	number  uint64
	written int64 // guarded by logs.mu

	use    sync.Mutex // held while the file is synced or closed
	closed bool       // guarded by use
}

// opened returns the file that Pebble is given in place of one that it has opened
// for writing.
func (l *logs) opened(name string, file vfs.File) vfs.File {
	number, ok := logNumber(name)
	if !ok {
		return file
	}
	log := &logFile{File: file, logs: l, number: number}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = make(map[*logFile]struct{})
	}
	l.open[log] = struct{}{}
	return log
}

func (f *logFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.logs.mu.Lock()
	defer f.logs.mu.Unlock()
	f.written += int64(n)
	return n, err
}

func (f *logFile) Sync() error     { return f.logs.syncFor(f, f.File.Sync) }
func (f *logFile) SyncData() error { return f.logs.syncFor(f, f.File.SyncData) }

// SyncTo syncs all of the file.
func (f *logFile) SyncTo(int64) (bool, error) { return true, f.SyncData() }

// Close syncs what was not, and closes the file.
func (f *logFile) Close() error {
	f.logs.mu.Lock()
	delete(f.logs.open, f)
	f.logs.mu.Unlock()
	f.use.Lock()
	defer f.use.Unlock()
	f.closed = true
	var err error
	if f.logs.lazy {
		err = f.File.SyncData()
	}
	return errors.Join(err, f.File.Close())
}

// syncFor syncs a log for Pebble, unless that is left to sync.
func (l *logs) syncFor(f *logFile, sync func() error) error {
	if l.lazy {
		return nil
	}
	return l.syncNow(f, sync)
}

// syncNow syncs a log, unless it is closed, and notes its length.
func (l *logs) syncNow(f *logFile, sync func() error) error {
	f.use.Lock()
	defer f.use.Unlock()
	if f.closed {
		return nil
	}
	l.mu.Lock()
	written := f.written
	l.mu.Unlock()
	if err := errors.Join(sync(), l.blown()); err != nil {
		return nil // the fuse has noted it
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remember(wal.Synced{Log: f.number, Length: written})
	return nil
}

// remember notes how much of a log is on disk. A note that cannot be written is
// no fault: less is known of damage then. The caller holds mu.
func (l *logs) remember(s wal.Synced) {
	if s.Log < l.synced.Log || s.Log == l.synced.Log && s.Length <= l.synced.Length {
		return
	}
	if l.note.Write(s) == nil {
		l.synced = s
	}
}

// sync syncs the logs that are open.
func (l *logs) sync() error {
	l.mu.Lock()
	open := make([]*logFile, 0, len(l.open))
	for f := range l.open {
		open = append(open, f)
	}
	l.mu.Unlock()
	var errs []error
	for _, f := range open {
		errs = append(errs, l.syncNow(f, f.File.SyncData))
	}
	return errors.Join(errs...)
}

// close lets go of SYNCED.
func (l *logs) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.note.Close()
}
