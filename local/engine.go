package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/timeblob/timeblob/index"
)

// record is a key and its value as stored.
type record struct{ key, value []byte }

// memtables is how many memtables Pebble holds at most: the one that is written,
// one that is flushed, and one to be used again.
const memtables = 3

// blockSize is how many bytes of keys and values a block of a table holds. A value
// that is larger has a block of its own. Damage in a block costs the whole block.
const blockSize = 32 << 10

// neverStop is how many layers of new tables stop all writes. Compactions merge them. A
// compaction that meets a damaged block never succeeds, and writes, and the end of the
// process, would wait for it for ever.
const neverStop = 1 << 20

// engine is one opening of Pebble, good until its fuse blows.
type engine struct {
	pebble *pebble.DB
	fuse   *fuse
	saves  saves // of an engine without a log

	noLog    bool
	readOnly error           // why it takes no writes, nil when it does
	versions *index.Versions // of the DB; nil where nobody asks for them
}

func startEngine(dir string, lock *pebble.Lock, opts *Options) (*engine, error) {
	if err := checkLogs(dir, opts); err != nil {
		return nil, err
	}
	if err := checkManifest(dir, opts); err != nil {
		return nil, err
	}
	if cause := probe(opts.FS, dir); cause != nil {
		return startReadOnly(dir, lock, opts, cause)
	}
	e, err := startWriter(dir, lock, opts)
	if !unwritable(err) {
		return e, err
	}
	if e, err = startReadOnly(dir, lock, opts, err); err == nil { // replaying the log took more room than there is
		e.makeRoom(dir, opts)
	}
	return e, err
}

func startWriter(dir string, lock *pebble.Lock, opts *Options) (*engine, error) {
	if err := raisePebble(dir, lock, opts); err != nil {
		return nil, err
	}
	if err := checkValues(dir, lock, opts); err != nil {
		return nil, err
	}
	return openEngine(dir, lock, opts)
}

// pebbleVersion is the version of Pebble's format. From FormatWALSyncChunks on a
// log tells damage from a write that a crash cut.
const pebbleVersion = pebble.FormatValueSeparation

// raisePebble opens and closes a directory that is new, or has an older version of
// Pebble's format: Pebble raises the version only after it has begun a log.
func raisePebble(dir string, lock *pebble.Lock, opts *Options) error {
	is, err := pebble.Peek(dir, opts.FS)
	if err != nil || is.Exists && is.FormatMajorVersion >= pebbleVersion {
		return err
	}
	e, err := openEngine(dir, lock, opts)
	if err != nil {
		return err
	}
	return e.close()
}

func openEngine(dir string, lock *pebble.Lock, opts *Options) (*engine, error) {
	fuse := newFuse(dir, opts)
	return openPebble(dir, pebbleOptions(lock, opts, fuse), fuse)
}

func openPebble(dir string, o *pebble.Options, fuse *fuse) (*engine, error) {
	db, err := pebble.Open(dir, o)
	if cause := fuse.blown(); cause != nil {
		if db != nil {
			db.Close()
		}
		return nil, errors.Join(cause, fuse.close())
	}
	if err != nil {
		return nil, errors.Join(withRemedy(err), fuse.close())
	}
	return &engine{pebble: db, fuse: fuse, noLog: o.DisableWAL}, nil
}

// withRemedy adds what to do to an error of opening a store that may be damaged.
func withRemedy(err error) error {
	if unwritable(err) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EMFILE) {
		return err
	}
	return fmt.Errorf("%w. Collector check says what is damaged: restore a backup, or save the rest with collector repair", err)
}

// pebbleOptions returns Pebble's settings. Nothing is compressed, because blobs
// arrive compressed. Filters stand on every level, because a key is absent
// before every put. Values stay in the tables of their keys (see the package
// comment). Pebble takes memtables out of its cache, so that the cache gets
// their share on top. A block of a table holds several small blobs, because
// finding a block in the cache takes longer than finding a key in the block.
func pebbleOptions(lock *pebble.Lock, opts *Options, fuse *fuse) *pebble.Options {
	logger := pebbleLogger{opts.Logger, fuse}
	o := &pebble.Options{
		FS:                    fuse,
		Lock:                  lock,
		FormatMajorVersion:    pebbleVersion,
		CacheSize:             opts.CacheBytes + memtables*opts.MemtableBytes,
		MemTableSize:          uint64(opts.MemtableBytes),
		DisableWAL:            opts.NoLog,
		FlushDelayDeleteRange: 10 * time.Second,
		L0StopWritesThreshold: neverStop,
		Logger:                logger,
		EventListener:         logger.events(),
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = blockSize
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	return o
}

// verdict returns err, or what blew the fuse: then err, even nil, is worth
// nothing, for what was read may never have been on disk.
func (e *engine) verdict(err error) error {
	if cause := e.fuse.blown(); cause != nil {
		return cause
	}
	return err
}

// close closes the store. It returns what Pebble panics with as an error: Pebble
// does so when an earlier panic left one of its files in use.
func (e *engine) close() (err error) {
	defer func() { err = errors.Join(err, e.fuse.close()) }()
	defer raised(&err)
	return e.verdict(e.pebble.Close())
}

// ErrPanic is in the error of a call during which Pebble panicked. Pebble 2.1 does
// so when one of its files is missing or cut.
var ErrPanic = errors.New("the store met damage that it has no error for")

// raised turns a panic into the error of the call that defers it.
func raised(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", ErrPanic, p)
	}
}

// guard calls do and turns a panic of Pebble into its error.
func (e *engine) guard(do func(*engine) error) (err error) {
	defer raised(&err)
	return do(e)
}

// get returns the value of a key, yours, or pebble.ErrNotFound.
func (e *engine) get(key []byte) (mine []byte, err error) {
	defer raised(&err)
	value, closer, err := e.pebble.Get(key)
	if err != nil {
		return nil, err
	}
	mine = make([]byte, len(value)) // together with copy, make clears nothing
	copy(mine, value)
	return mine, closer.Close()
}

// has tells whether a key is taken.
func (e *engine) has(key []byte) (bool, error) {
	_, closer, err := e.pebble.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, closer.Close()
}

// batch returns the batch that adds the records, index.ErrExists when a key
// is taken. The caller must hold claims on all the keys.
func (e *engine) batch(records []record) (*pebble.Batch, error) {
	size := 0
	for _, r := range records {
		taken, err := e.has(r.key)
		if err != nil {
			return nil, err
		}
		if taken {
			return nil, index.ErrExists
		}
		size += len(r.key) + len(r.value) + 16
	}
	batch := e.pebble.NewBatchWithSize(size)
	for _, r := range records {
		if err := batch.Set(r.key, r.value, nil); err != nil {
			return nil, errors.Join(err, batch.Close())
		}
	}
	return batch, nil
}

// apply writes a batch: on disk when it returns or, with Options.NoSync, in the
// hands of the operating system or, with Options.NoLog, in memory.
func (e *engine) apply(batch *pebble.Batch) error {
	if batch == nil || batch.Empty() {
		return nil
	}
	if e.readOnly != nil {
		return errors.Join(e.readOnly, batch.Close())
	}
	defer writing(e.versions, batch)()
	err := e.verdict(e.pebble.Apply(batch, &pebble.WriteOptions{Sync: !e.noLog}))
	if err != nil {
		return err // the batch may still be Pebble's
	}
	return batch.Close()
}

// iterator returns an iterator over [from, to).
func (e *engine) iterator(ctx context.Context, from, to []byte) (*pebble.Iterator, error) {
	return e.pebble.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: from, UpperBound: to})
}

// each calls visit with an iterator over [from, to), before the first key. It
// returns the iterator's error when visit returns none.
func (e *engine) each(ctx context.Context, from, to []byte, visit func(*pebble.Iterator) error) error {
	it, err := e.iterator(ctx, from, to)
	if err != nil {
		return err
	}
	if err := visit(it); err != nil {
		it.Close()
		return err
	}
	return it.Close()
}

// pebbleLogger takes what Pebble says. After a fatal error, which Pebble does
// not expect to outlive, it keeps it off the disk.
type pebbleLogger struct {
	slog *slog.Logger
	fuse *fuse
}

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.slog.Enabled(context.Background(), slog.LevelDebug) {
		l.slog.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.slog.Warn("pebble: " + fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.fuse.blow(fmt.Errorf(format, args...))
}

// events says what readers are not told: a fault met in the background. With
// the fuse blown those are echoes of what writers have been told.
func (l pebbleLogger) events() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			if l.fuse.blown() == nil && l.fuse.damage.isNews(err.Error()) {
				l.slog.Error("pebble: background work failed", "err", err.Error())
			}
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			if text := info.String(); l.fuse.damage.isNews(text) {
				l.slog.Error("pebble: data corruption", "info", text)
			}
			l.fuse.damage.meet()
		},
	}
}
