// Package embedded is a whole store of values over time in one directory: a
// codec, a merge function and a directory make a running collector.
//
// It wires package journal (values that wait to be stored), package local
// (index and blobs on disk), package tiered (decoded values in memory) and package
// bucket (live window, ranges). Use those packages themselves for other stores,
// such as DynamoDB and S3.
//
// Add returns when the value is in the journal, on disk. A process that is killed
// loses nothing that Add has taken: the next Open stores it, once. The price is one
// encoding of the value and a share of one sync of the disk for each Add. With
// Options.Journal.Sync set to journal.Interval Add does not wait for the disk, and
// only a power failure loses what was added in the last 100 ms. Options.NoJournal
// leaves the journal out: a kill then loses what was added in the last tick.
package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/journal"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/tiered"
)

// Options are the settings of the parts; nil or a zero field means the default. The
// Collector's Registerer, Namespace, Size, Now and Logger serve the other parts too, where
// these have none of their own.
type Options[T any] struct {
	Directory local.Options
	Memory    tiered.Options[T]
	// Journal tunes the journal, which stands in the subdirectory "journal". Keep is the
	// collector's window, unless it is set. While the directory cannot store, values
	// wait in the journal, and Add refuses what would exceed MaxBytes.
	Journal journal.Options
	// NoJournal leaves the journal out. So does a Collector that has one.
	NoJournal bool
	// Collector's Committer is the directory, and Alone is true: nothing else
	// writes to the directory. For that reason Collector.Past.Levels, which turns
	// roll-ups on, has Owned set, and its Retention of entries is the directory's where
	// Directory.Retention is 0.
	Collector bucket.CollectorOptions[T]
}

// Store is a running collector on a directory. Its methods are the collector's,
// except that Close also closes the directory, and that Run is not to be called.
type Store[T any] struct {
	*bucket.Collector[T]
	blobs   *tiered.Store[T]
	db      *local.DB
	journal *journal.Journal // nil for none of its own
	ran     chan struct{}
}

// Open opens a directory, which it creates when there is none, and starts a
// collector that stores what is added every tick. Only one process at a time can
// have a directory open. Call Close in the end.
func Open[T any](dir string, codec tiered.Codec[T], merge bucket.Merge[T], opts *Options[T]) (*Store[T], error) {
	o := Options[T]{}
	if opts != nil {
		o = *opts
	}
	o.share()
	o.wireLevels()
	journaled := !o.NoJournal && o.Collector.Journal == nil
	synced := journaled && o.Journal.Sync != journal.Off
	if synced {
		o.Directory.NoLog = true // the journal keeps what the directory has in memory
	}
	db, err := local.Open(dir, &o.Directory)
	if err != nil {
		return nil, err
	}
	if synced {
		o.Collector.Sync = db.Sync
	}
	s := &Store[T]{db: db, ran: make(chan struct{})}
	if journaled {
		err = s.openJournal(journalIn(dir), &o)
	}
	if err == nil {
		err = s.rely(dir, &o)
	}
	if err == nil {
		err = s.start(codec, merge, &o)
	}
	if err != nil {
		return nil, errors.Join(err, s.closeDirectory())
	}
	return s, nil
}

// share gives the parts what the collector has and they have not.
func (o *Options[T]) share() {
	c := &o.Collector
	if o.Memory.Registerer == nil {
		o.Memory.Registerer, o.Memory.Namespace = c.Registerer, cmp.Or(o.Memory.Namespace, c.Namespace)
	}
	if o.Journal.Registerer == nil {
		o.Journal.Registerer, o.Journal.Namespace = c.Registerer, cmp.Or(o.Journal.Namespace, c.Namespace, "timeblob")
	}
	if o.Memory.Size == nil {
		o.Memory.Size = c.Size
	}
	if o.Memory.Now == nil {
		o.Memory.Now = c.Now
	}
	if o.Directory.Now == nil {
		o.Directory.Now = c.Now
	}
	if o.Directory.Logger == nil {
		o.Directory.Logger = c.Logger
	}
}

// wireLevels has the directory and the levels say the same.
func (o *Options[T]) wireLevels() {
	if o.Collector.Past.Levels == nil {
		return
	}
	levels := *o.Collector.Past.Levels
	levels.Owned = true
	o.Collector.Past.Levels = &levels
	if o.Directory.Retention != 0 {
		return
	}
	outlives := false
	for _, r := range levels.Retention {
		if r.Level == 0 {
			o.Directory.Retention = r.Keep
		}
	}
	for _, r := range levels.Retention {
		outlives = outlives || r.Level != 0 && (r.Keep == 0 || r.Keep > o.Directory.Retention)
	}
	if outlives && o.Directory.Retention != 0 {
		o.Directory.Retention += levels.Grace
		o.Directory.RollUpsFirst = true
	}
}

// openJournal opens the store's own journal, and logs what is damaged in it.
func (s *Store[T]) openJournal(dir string, o *Options[T]) (err error) {
	jo := o.Journal
	if jo.Keep == 0 {
		jo.Keep = windowOf(&o.Collector)
	}
	if s.journal, err = journal.Open(dir, &jo); err != nil {
		return err
	}
	o.Collector.Journal = s.journal
	logger := loggerOf(o)
	for _, d := range s.journal.Damage() {
		level := slog.LevelError
		if d.Torn {
			level = slog.LevelWarn
		}
		logger.Log(context.Background(), level, "the journal is damaged", "dir", dir, "damage", d.String())
	}
	return nil
}

// rely has the directory note that the journal may hold values which it lacks. It logs that the directory was last
// used with another journal, and not closed since.
func (s *Store[T]) rely(dir string, o *Options[T]) error {
	before, err := local.Relied(dir, &o.Directory)
	if err != nil {
		return err
	}
	mine := local.Journal{}
	if s.journal != nil {
		mine = local.Journal{ID: s.journal.ID(), Dir: journalIn(dir)}
	}
	logger := loggerOf(o)
	if before.ID != "" && before.ID != mine.ID {
		logger.Error("the store was last used with another journal, which may hold values that the store lacks", "dir", dir, "journal", before.Dir)
	}
	if mine.ID == "" {
		return nil
	}
	if err := s.db.Rely(mine); err != nil {
		logger.Warn("a later open with another journal will not be noticed", "dir", dir, "err", err)
	}
	return nil
}

func journalIn(dir string) string { return filepath.Join(dir, "journal") }

func loggerOf[T any](o *Options[T]) *slog.Logger {
	if o.Collector.Logger == nil {
		return slog.Default()
	}
	return o.Collector.Logger
}

// windowOf returns the window of a collector with these options.
func windowOf[T any](o *bucket.CollectorOptions[T]) time.Duration {
	switch {
	case o.Window > 0:
		return o.Window
	case o.Tick > 0:
		return 5 * o.Tick
	}
	return 15 * time.Second
}

func (s *Store[T]) start(codec tiered.Codec[T], merge bucket.Merge[T], o *Options[T]) (err error) {
	if s.blobs, err = tiered.New(codec, s.db.Blobs(), &o.Memory); err != nil {
		return err
	}
	o.Collector.Committer, o.Collector.Alone = s.db, true
	if s.Collector, err = bucket.NewCollector(s.db.Index(), s.blobs, merge, &o.Collector); err != nil {
		return errors.Join(err, s.blobs.Close(context.Background()))
	}
	go func() {
		defer close(s.ran)
		_ = s.Run(context.Background()) // it fails only for a collector that is closed
	}()
	return nil
}

// Stats are figures of a Store at one moment.
type Stats struct {
	bucket.Stats              // what is pending, and what questions have read
	Blobs        tiered.Stats // hits and misses of memory and of the directory
	Directory    local.Stats  // what the directory takes
}

// Stats returns figures of the store. The error is the directory's.
func (s *Store[T]) Stats(ctx context.Context) (Stats, error) {
	of, err := s.db.Stats(ctx)
	return Stats{Stats: s.Collector.Stats(), Blobs: s.blobs.Stats(), Directory: of}, err
}

// Close refuses further values, stores what is pending, and closes the
// directory. When ctx ends before all is stored, it returns an error such as a
// *bucket.UndeliveredError; the directory is then still open, and Close may be called
// again.
func (s *Store[T]) Close(ctx context.Context) error {
	if err := s.Collector.Close(ctx); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	select {
	case <-s.ran:
	case <-ctx.Done():
		return fmt.Errorf("close the store: what it began has not ended: %w", ctx.Err())
	}
	return errors.Join(s.blobs.Close(ctx), s.closeDirectory())
}

// closeDirectory closes what is on disk.
func (s *Store[T]) closeDirectory() error {
	if s.journal == nil {
		return s.db.Close()
	}
	if s.journal.Stats().Live == 0 {
		_ = s.db.Rely(local.Journal{}) // where it fails, the directory asks for a journal that holds nothing
	}
	return errors.Join(s.journal.Close(), s.db.Close())
}
