// Package embedded is a whole store of values over time in one directory: a
// codec, a merge function and a directory make a running collector.
//
// It wires package local (index and blobs on disk), package tiered (decoded
// values in memory) and package bucket (live window, ranges). Use those packages
// themselves for other stores, such as DynamoDB and S3.
package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/tiered"
)

// Options are the settings of the parts; nil or a zero field means the default.
type Options[T any] struct {
	Directory local.Options
	Memory    tiered.Options[T]
	// Collector's Committer is the directory, and Alone is true: nothing else
	// writes to the directory.
	Collector bucket.CollectorOptions[T]
}

// Store is a running collector on a directory. Its methods are the collector's,
// except that Close also closes the directory, and that Run is not to be called.
type Store[T any] struct {
	*bucket.Collector[T]
	blobs *tiered.Store[T]
	db    *local.DB
	ran   chan struct{}
}

// Open opens a directory, which it creates when there is none, and starts a
// collector that stores what is added every tick. Only one process at a time can
// have a directory open. Call Close in the end.
func Open[T any](dir string, codec tiered.Codec[T], merge bucket.Merge[T], opts *Options[T]) (*Store[T], error) {
	o := Options[T]{}
	if opts != nil {
		o = *opts
	}
	db, err := local.Open(dir, &o.Directory)
	if err != nil {
		return nil, err
	}
	s, err := start(db, codec, merge, &o)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func start[T any](db *local.DB, codec tiered.Codec[T], merge bucket.Merge[T], o *Options[T]) (*Store[T], error) {
	blobs, err := tiered.New(codec, db.Blobs(), &o.Memory)
	if err != nil {
		return nil, err
	}
	o.Collector.Committer, o.Collector.Alone = db, true
	c, err := bucket.NewCollector(db.Index(), blobs, merge, &o.Collector)
	if err != nil {
		return nil, errors.Join(err, blobs.Close(context.Background()))
	}
	s := &Store[T]{Collector: c, blobs: blobs, db: db, ran: make(chan struct{})}
	go func() {
		defer close(s.ran)
		_ = c.Run(context.Background()) // it fails only for a collector that is closed
	}()
	return s, nil
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
// directory. When it returns a *bucket.UndeliveredError, because ctx ended
// before all was stored, the directory is still open and Close may be called
// again.
func (s *Store[T]) Close(ctx context.Context) error {
	if err := s.Collector.Close(ctx); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	<-s.ran
	return errors.Join(s.blobs.Close(ctx), s.db.Close())
}
