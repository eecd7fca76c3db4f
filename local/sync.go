package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
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

// Frozen: the file that names the journal on which the store relies. It holds the journal's id, a space, its
// directory and a newline.
const (
	reliedName  = "JOURNAL"
	reliedDraft = "JOURNAL.tmp"
)

// Journal names a journal that holds values which a store may lack: values that wait to
// be stored and, with Options.NoLog, values that are not on disk yet.
type Journal struct {
	ID  string // tells the journal from others
	Dir string // where it is
}

// Relied returns the journal that the last DB.Rely of a directory named. Its ID is empty when there
// is none. A process may hold the directory.
func Relied(dir string, opts *Options) (Journal, error) {
	full, err := opts.filled()
	if err != nil {
		return Journal{}, err
	}
	text, err := readFile(full.FS, full.FS.PathJoin(dir, reliedName))
	if errors.Is(err, fs.ErrNotExist) {
		return Journal{}, nil
	}
	if err != nil {
		return Journal{}, fmt.Errorf("read on which journal the store %q relies: %w", dir, err)
	}
	id, at, _ := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
	if id == "" {
		id = "unknown" // the file is damaged
	}
	return Journal{id, at}, nil
}

// Rely notes durably that a journal may hold values which the store lacks, so that a later open with
// another journal can find out. With an empty ID the store lacks nothing any more.
func (db *DB) Rely(j Journal) error {
	if err := db.rely(j); err != nil {
		return fmt.Errorf("note on which journal the store %q relies: %w", db.dir, err)
	}
	return nil
}

func (db *DB) rely(j Journal) error {
	fsys := db.opts.FS
	if j.ID != "" {
		return writeWhole(fsys, db.dir, reliedName, reliedDraft, j.ID+" "+j.Dir+"\n")
	}
	if err := fsys.Remove(fsys.PathJoin(db.dir, reliedName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDirectory(fsys, db.dir)
}

// Frozen: the file with a line for each journal whose values the store took: the journal's id, a space, the number of a
// record and a newline. The journal of the last line was used last.
const (
	takenName  = "TAKEN"
	takenDraft = "TAKEN.tmp"
	maxTaken   = 64 // lines: older ones go
)

// Took notes durably that the store may hold values of a journal up to the record with a number. It returns the number
// of the last such note, 0 for none. When that is higher, the journal is an older copy of the one that the store knows, or
// has lost its end: its values may be stored twice, and later ones may be missing. The error says that the note cannot be
// read or written; the returned number is right where it could be read. Calls must not be concurrent.
func (db *DB) Took(journal string, last uint64) (before uint64, err error) {
	lines, err := db.taken()
	if err == nil {
		prefix := journal + " "
		at := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, prefix) })
		if at >= 0 {
			before, _ = strconv.ParseUint(lines[at][len(prefix):], 10, 64) // 0 when the line is damaged
			lines = slices.Delete(lines, at, at+1)
		}
		lines = append(lines, prefix+strconv.FormatUint(last, 10))
		lines = lines[max(0, len(lines)-maxTaken):]
		err = writeWhole(db.opts.FS, db.dir, takenName, takenDraft, strings.Join(lines, "\n")+"\n")
	}
	if err != nil {
		err = fmt.Errorf("note what the store %q took from a journal: %w", db.dir, err)
	}
	return before, err
}

// taken returns the lines of the file.
func (db *DB) taken() ([]string, error) {
	text, err := readFile(db.opts.FS, db.opts.FS.PathJoin(db.dir, takenName))
	if errors.Is(err, fs.ErrNotExist) || text == "" && err == nil {
		return nil, nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n"), err
}
