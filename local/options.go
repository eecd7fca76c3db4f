package local

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options are the settings of Open that have defaults; nil is all of them.
type Options struct {
	// Retention is how long entries and their blobs are kept, at least an
	// hour; 0 keeps them for ever. Whole hours that ended longer ago are
	// removed when the directory is opened and hourly from then on; their
	// blobs one hour later.
	Retention time.Duration

	// RollUpsFirst says that roll-ups are kept longer than the entries in them.
	// Nothing is removed until a builder has said so in the settings of levels;
	// from then on entries wait until they are rolled up, with this option or without.
	RollUpsFirst bool

	// CacheBytes is the memory for blocks read from disk, 16 MiB when 0. The
	// blobs that matter are cached decoded, above this store.
	CacheBytes int64

	// MemtableBytes is how much is written between two flushes, 1 MiB to
	// 1 GiB, 32 MiB when 0. The store takes up to three times as much memory,
	// and after a crash as much is read again.
	MemtableBytes int64

	// NoSync lets writes return when the operating system has them. A crash of
	// the process loses nothing. A crash of the machine loses what was written
	// since the last DB.Sync. It is for imports that can be repeated.
	NoSync bool

	// NoLog leaves the write-ahead log out, so that a blob is written once less.
	// DB.Commit then returns when the entry and its blob are in memory. Any
	// crash loses the commits since the last DB.Sync that returned nil: the
	// later ones first, each whole. All other writes return when they are on
	// disk, and so are the commits before them. NoLog is for callers that keep
	// a journal of their own until DB.Sync has returned.
	NoLog bool

	// Now is the clock that retention looks at, time.Now when nil.
	Now func() time.Time

	// Logger gets what nobody is returned, slog.Default() when nil; Pebble's
	// own log goes to it at level Debug.
	Logger *slog.Logger

	// FS is where the directory is, the operating system's when nil.
	FS vfs.FS

	repairing bool // Repair writes the directory
}

// filled returns a copy with the defaults filled in, or what is wrong.
func (o *Options) filled() (Options, error) {
	if o == nil {
		o = &Options{}
	}
	if err := o.check(); err != nil {
		return Options{}, err
	}
	full := *o
	fill(&full.CacheBytes, 16<<20)
	fill(&full.MemtableBytes, 32<<20)
	fill(&full.Logger, slog.Default())
	fill(&full.FS, vfs.Default)
	if full.Now == nil {
		full.Now = time.Now
	}
	return full, nil
}

func (o *Options) check() error {
	if o.Retention != 0 && o.Retention < time.Hour {
		return fmt.Errorf("retention of %v: must be 0 or at least 1h", o.Retention)
	}
	if o.CacheBytes < 0 {
		return errors.New("cache size must not be negative")
	}
	if o.MemtableBytes != 0 && (o.MemtableBytes < 1<<20 || o.MemtableBytes > 1<<30) {
		return fmt.Errorf("memtable size of %d bytes: must be 1 MiB to 1 GiB", o.MemtableBytes)
	}
	return nil
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
