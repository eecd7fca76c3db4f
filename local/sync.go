package local

import (
	"context"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// Sync makes all writes that have returned survive a crash of the machine. It is
// for stores with Options.NoSync or Options.NoLog: without them writes do so
// themselves. Concurrent calls share the work.
//
// With Options.NoLog an error says that any of the commits since the last Sync
// that returned nil may be lost, and that the caller must commit them again. A
// fault of the disk between two calls is reported by the second, once, so only
// one goroutine should call Sync.
func (db *DB) Sync(ctx context.Context) error {
	if !db.opts.NoLog {
		return db.read(ctx, func(e *engine) error { return e.fuse.logs.sync() })
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	e, err := db.acquire()
	if err != nil {
		return err
	}
	upTo, lost := db.unsynced()
	if lost != nil || upTo == 0 {
		db.release()
		return lost
	}
	return await(ctx, func() error {
		defer db.release()
		if err := e.save(); err != nil {
			return err
		}
		db.syncedUpTo(upTo)
		return nil
	})
}

// commits counts the commits of a store without a log.
type commits struct {
	made   uint64 // that are applied
	synced uint64 // at least, that are on disk
	lost   error  // why commits are gone, until somebody is told
}

// lose notes that the engine goes, with what is in its memory alone.
func (c *commits) lose(cause error) {
	if c.made != c.synced {
		c.lost = fmt.Errorf("commits that were not on disk are lost: %w", cause)
	}
	c.synced = c.made
}

// syncLast is Sync at the end, when no call is in flight. The caller holds mu.
func (db *DB) syncLast() error {
	if db.commits.made == db.commits.synced || db.engine.readOnly != nil {
		return nil
	}
	return db.engine.save()
}

// applier writes a batch, unless it is nil or empty.
type applier func(*engine, *pebble.Batch) error

// save writes a batch. It returns when all that is applied is on disk.
func (db *DB) save(e *engine, batch *pebble.Batch) error {
	if err := e.apply(batch); err != nil {
		return err
	}
	return e.save()
}

// commit writes a batch that is on disk when commit returns or, without a log,
// after the next Sync.
func (db *DB) commit(e *engine, batch *pebble.Batch) error {
	err := e.apply(batch)
	if err == nil && batch != nil && e.noLog {
		db.committed() // before the call ends: until then the engine stays
	}
	return err
}

// saves lets concurrent calls of engine.save share flushes.
type saves struct {
	turn sync.Mutex // held while one flushes

	mu   sync.Mutex
	next *saving // the flush that has not begun; guarded by mu
}

// saving is one flush, and its error once done is closed.
type saving struct {
	done chan struct{}
	err  error
}

// save returns when all that was applied before is on disk. With a log it is
// already.
func (e *engine) save() error {
	if !e.noLog {
		return nil
	}
	if e.readOnly != nil {
		return e.readOnly
	}
	s, mine := e.saves.join()
	if mine {
		e.saves.do(func() { s.err = e.verdict(e.guard(func(e *engine) error { return e.pebble.Flush() })) })
		close(s.done)
	}
	<-s.done
	return s.err
}

// join returns the next flush, and whether the caller must do it.
func (s *saves) join() (next *saving, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mine = s.next == nil; mine {
		s.next = &saving{done: make(chan struct{})}
	}
	return s.next, mine
}

// do does the next flush, which nobody can join any more, after the one under way.
func (s *saves) do(flush func()) {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.begin()
	flush()
}

func (s *saves) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = nil
}
