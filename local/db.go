package local

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/claims"
)

// ErrClosed is returned by every call that starts after Close.
var ErrClosed = errors.New("the store is closed")

// pause is the time between two attempts to go on after a failed write.
const pause = time.Second

// DB is an index and its blobs in one directory. It is safe for any number of
// goroutines.
//
// When a write to disk fails (disk full, input/output error), the call returns
// the error, and so do all others until the fault is gone: the store cuts
// itself off the disk as a crash would, and the next call, at most once a
// second, reads the directory again and goes on. While the disk is full or
// read-only, also when the store is opened, reads are answered and writes return
// ErrReadOnly.
type DB struct {
	dir    string
	opts   Options
	lock   *pebble.Lock
	format int           // the directory's version: at most formatVersion
	claims claims.Claims // of keys; held across a sync, which others share
	pause  time.Duration

	versions index.Versions

	mu      sync.Mutex
	idle    sync.Cond // calls has become 0
	engine  *engine   // nil while there is none to be had; guarded by mu
	fault   error     // why engine is nil; guarded by mu
	tried   time.Time // of the last failed restart; guarded by mu
	calls   int       // calls in flight; guarded by mu
	commits commits   // guarded by mu
	healing bool      // a call is starting a new engine; guarded by mu
	closed  bool      // guarded by mu

	stop      context.CancelFunc // ends retention
	retention sync.WaitGroup
	gone      chan struct{} // closed when Close is done
}

var _ index.Committer = (*DB)(nil)

// Open opens the store in dir, and makes it where dir is absent or empty. It
// refuses a directory that any process holds open, this one included, one that
// holds other things, and one of a newer format version.
func Open(dir string, opts *Options) (*DB, error) {
	db, err := open(dir, opts)
	if err != nil {
		return nil, fmt.Errorf("open store %q: %w", dir, err)
	}
	return db, nil
}

func open(dir string, opts *Options) (*DB, error) {
	full, err := opts.filled()
	if err != nil {
		return nil, err
	}
	dir, lock, err := takeDirectory(full.FS, dir, full.repairing)
	if err != nil {
		return nil, err
	}
	engine, err := startEngine(dir, lock, &full)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	format, err := raiseFormat(full.FS, dir, full.Logger)
	if err != nil {
		return nil, errors.Join(err, engine.close(), lock.Close())
	}
	db := &DB{dir: dir, opts: full, lock: lock, format: format, engine: engine, pause: pause, stop: func() {}, gone: make(chan struct{})}
	db.idle.L, db.engine.versions = &db.mu, &db.versions
	db.retain()
	return db, nil
}

// Close waits for the calls in flight, then closes the store and lets go of
// the directory. Calls after the first wait for it and return nil.
func (db *DB) Close() error {
	if !db.shut() {
		<-db.gone
		return nil
	}
	defer close(db.gone)
	db.stop()
	db.retention.Wait()
	db.mu.Lock()
	defer db.mu.Unlock()
	for db.calls > 0 {
		db.idle.Wait()
	}
	var err error
	if db.engine != nil {
		err = errors.Join(db.syncLast(), db.engine.close())
	}
	if err := errors.Join(err, db.lock.Close()); err != nil {
		return fmt.Errorf("close store %q: %w", db.dir, err)
	}
	return nil
}

// shut tells whether this call is the one that closes.
func (db *DB) shut() bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return false
	}
	db.closed = true
	return true
}

// acquire returns the engine for one call, which must release.
func (db *DB) acquire() (*engine, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, ErrClosed
	}
	if db.engine != nil {
		db.fault = db.engine.fuse.blown()
	}
	if db.fault != nil {
		return db.heal()
	}
	db.calls++
	return db.engine, nil
}

func (db *DB) release() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.calls--
	if db.calls == 0 {
		db.idle.Broadcast()
	}
}

// revive has the next call open the store again when values can be written again.
// It looks at most once in db.pause, and only while no call is in flight.
func (db *DB) revive() {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.engine == nil || db.engine.readOnly == nil || db.calls > 0 || db.healing || time.Since(db.tried) < db.pause {
		return
	}
	db.tried = time.Now()
	if probe(db.opts.FS, db.dir) == nil && roomForLogs(db.opts.FS, db.dir) {
		db.engine.fuse.blow(db.engine.readOnly)
		db.tried = time.Time{}
	}
}

// heal starts a new engine where the old one's fuse has blown, once its calls
// have ended. It is called with mu held, and lets go of it in between.
func (db *DB) heal() (*engine, error) {
	if db.calls > 0 || db.healing || time.Since(db.tried) < db.pause {
		return nil, fmt.Errorf("the store stopped after an error and will be opened again: %w", db.fault)
	}
	old := db.engine
	db.commits.lose(db.fault)
	db.engine, db.healing = nil, true
	db.calls++
	db.mu.Unlock()
	fresh, err := db.restart(old)
	db.mu.Lock()
	db.healing = false
	if err != nil {
		db.fault, db.tried = err, time.Now()
		db.calls--
		db.idle.Broadcast()
		return nil, err
	}
	if fresh.readOnly != nil {
		db.tried = time.Now()
	} else {
		db.opts.Logger.Info("store works again", "dir", db.dir, "fault", fmt.Sprint(db.fault))
	}
	db.engine, db.fault = fresh, nil
	return fresh, nil
}

func (db *DB) restart(old *engine) (*engine, error) {
	if old != nil {
		_ = old.close() // says what blew the fuse, which is known
	}
	db.versions.BeginAll() // without a log commits are gone
	defer db.versions.EndAll()
	fresh, err := startEngine(db.dir, db.lock, &db.opts)
	if err == nil {
		fresh.versions = &db.versions
	}
	return fresh, err
}

// answers reports whether a question would be answered now.
func (db *DB) answers() bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	return !db.closed && db.engine != nil && db.engine.fuse.blown() == nil
}

// unsynced returns how many commits there are, 0 when all are on disk, or why some
// are lost.
func (db *DB) unsynced() (upTo uint64, lost error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	c := &db.commits
	if lost, c.lost = c.lost, nil; lost != nil || c.made == c.synced {
		return 0, lost
	}
	return c.made, nil
}

func (db *DB) syncedUpTo(n uint64) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.commits.synced = max(db.commits.synced, n)
}

// committed counts a commit of a store without a log.
func (db *DB) committed() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.commits.made++
}

// read calls do with the engine.
func (db *DB) read(ctx context.Context, do func(*engine) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e, err := db.acquire()
	if err != nil {
		return err
	}
	defer db.release()
	return e.verdict(e.guard(do))
}

// Commit stores blob under e.Key and adds e to row's entries in one synced
// write, both or neither, or returns index.ErrExists when the instant or the
// key is taken. Concurrent commits share syncs. When ctx ends first, or a
// write to disk fails, the commit may or may not have happened, whole. In the first
// case the error has a method Underway() bool, if the commit had begun. With
// Options.NoLog it does not wait for the disk.
func (db *DB) Commit(ctx context.Context, row index.Row, e index.Entry, blob []byte) error {
	key, err := entryKey(row, e.Time)
	if err != nil {
		return err
	}
	if err := db.mayPut(ctx, e.Time); err != nil {
		return err
	}
	return db.put(ctx, db.commit, record{key, db.entryValue(e)}, record{blobKey(e.Key), blob})
}

// change writes the batch that prepare returns, while no other call changes
// any of the keys. It returns when the batch, or the record that keeps it out, is
// on disk. It writes nothing when the batch is nil or empty.
func (db *DB) change(ctx context.Context, keys []string, prepare func(*engine) (*pebble.Batch, error)) error {
	return db.changeWith(ctx, db.save, keys, prepare)
}

// changeWith is change that writes the batch with apply.
func (db *DB) changeWith(ctx context.Context, apply applier, keys []string, prepare func(*engine) (*pebble.Batch, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e, err := db.acquireWriter()
	if err != nil {
		return err
	}
	free, err := db.claims.Claim(ctx, keys...)
	if err != nil {
		db.release()
		return err
	}
	done := func() { free(); db.release() }
	var batch *pebble.Batch
	err = e.guard(func(e *engine) (err error) { batch, err = prepare(e); return err })
	err = e.verdict(err)
	if err != nil && !errors.Is(err, index.ErrExists) {
		done()
		return err
	}
	return await(ctx, func() error {
		defer done()
		if failed := apply(e, batch); failed != nil {
			return failed
		}
		return err
	})
}

func keys(records []record) []string {
	keys := make([]string, len(records))
	for i, r := range records {
		keys[i] = string(r.key)
	}
	return keys
}

// await calls do and waits for it until ctx ends; do goes on then.
func await(ctx context.Context, do func() error) error {
	result, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		result <- do()
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return &underwayError{ctx.Err(), ended}
	}
}

// underwayError says that a change goes on although its context has ended.
type underwayError struct {
	err   error
	ended chan struct{}
}

func (e *underwayError) Error() string { return e.err.Error() + ": it may still take effect" }

func (e *underwayError) Unwrap() error { return e.err }

// Underway reports whether the change may still take effect.
func (e *underwayError) Underway() bool {
	select {
	case <-e.ended:
		return false
	default:
		return true
	}
}
