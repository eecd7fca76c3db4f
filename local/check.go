package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/local/internal/wal"
)

// Findings is what Check and Repair have found.
type Findings struct {
	Damage  []DamageError // by file
	Lost    []LostValue   // entries without a readable blob, by tenant and time
	Entries int           // that can be read
	Blobs   int           // that can be read
	RollUps int           // of these, merges of levels, which places name
	Unnamed int           // of these, blobs that no entry names, such as one that lost its entry
	Places  int
}

// Sound tells whether nothing is damaged.
func (f *Findings) Sound() bool { return len(f.Damage) == 0 && len(f.Lost) == 0 }

func (f *Findings) damaged(file, what string) {
	f.Damage = append(f.Damage, DamageError{file, strings.ReplaceAll(what, "\n", "; ")})
}

// LostValue is an entry whose blob cannot be read.
type LostValue struct {
	Tenant string
	Entry  index.Entry
	Why    string
}

// Check reads all that a directory holds and returns what is damaged and which
// values it costs. It changes nothing, and refuses a directory that any process
// holds open. It keeps the keys of all entries and blobs in memory.
func Check(ctx context.Context, dir string, opts *Options) (*Findings, error) {
	found, err := survey(ctx, dir, opts, nil)
	if err != nil {
		return nil, fmt.Errorf("check store %q: %w", dir, err)
	}
	return found, nil
}

// Repair writes what can be read of a directory to a new one, and returns what
// cannot. Entries without a blob stay behind. Of what was removed some may come
// back, when the file that says so is damaged. A new directory that is not whole,
// because Repair was cut short, is no store: Open refuses it, and the next Repair
// begins it again.
func Repair(ctx context.Context, from, to string, opts *Options) (*Findings, error) {
	full, err := opts.filled()
	if err != nil {
		return nil, err
	}
	if err := apart(full.FS, from, to); err != nil {
		return nil, fmt.Errorf("repair to %q: %w", to, err)
	}
	if err := beginRepair(full.FS, to); err != nil {
		return nil, fmt.Errorf("repair to %q: %w", to, err)
	}
	full.NoSync, full.repairing = true, true
	db, err := Open(to, &full)
	if err != nil {
		return nil, err
	}
	found, err := survey(ctx, from, opts, db)
	err = errors.Join(err, db.Close())
	if err == nil {
		err = endRepair(full.FS, to)
	}
	if err != nil {
		return nil, fmt.Errorf("repair store %q: %w", from, err)
	}
	return found, nil
}

// apart returns an error when a repair would write into the directory that it reads.
func apart(fsys vfs.FS, from, to string) error {
	from, err := oneName(fsys, from)
	if err != nil {
		return err
	}
	_, inside, err := within(fsys, to, from)
	if err == nil && inside {
		err = errors.New("the new directory must not be inside the damaged one")
	}
	return err
}

// unfinishedName is a file in a directory that a repair writes. It is there until the
// directory is whole.
const unfinishedName = "UNFINISHED"

const lockName = "LOCK" // Pebble's

// errUnfinished says that a directory is to be the result of a repair that is not done.
var errUnfinished = errors.New("a repair into this directory was cut short or is under way, so that it lacks values: " +
	"repeat the repair, which begins the directory again")

// beginRepair makes an empty directory for a repair. It empties one that an earlier
// repair left unfinished, and refuses any other that is not empty.
func beginRepair(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	if err == nil && len(names) > 0 {
		if !slices.Contains(names, unfinishedName) {
			return errors.New("it is not empty")
		}
		return emptyUnfinished(fsys, dir)
	}
	if err := makeDirectory(fsys, dir, private); err != nil {
		return err
	}
	mark, err := fsys.Create(fsys.PathJoin(dir, unfinishedName), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	return errors.Join(mark.Sync(), mark.Close(), syncDirectory(fsys, dir))
}

// emptyUnfinished removes what an earlier repair has written, but not its mark: a kill
// must not leave an unmarked part of a store.
func emptyUnfinished(fsys vfs.FS, dir string) error {
	lock, err := lockDirectory(fsys, dir) // the other repair may be under way
	if err != nil {
		return err
	}
	defer lock.Close()
	names, err := fsys.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name != unfinishedName && name != lockName {
			if err := fsys.RemoveAll(fsys.PathJoin(dir, name)); err != nil {
				return err
			}
		}
	}
	return syncDirectory(fsys, dir)
}

// endRepair says that the directory of a repair is whole.
func endRepair(fsys vfs.FS, dir string) error {
	return errors.Join(fsys.Remove(fsys.PathJoin(dir, unfinishedName)), syncDirectory(fsys, dir))
}

// survey reads a directory, and puts what can be read into a store, unless it is
// nil.
func survey(ctx context.Context, dir string, opts *Options, to *DB) (*Findings, error) {
	full, err := opts.filled()
	if err != nil {
		return nil, err
	}
	format, err := checkFormatFile(full.FS, dir)
	if err != nil {
		return nil, err
	}
	lock, err := lockDirectory(full.FS, dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	s := newSalvage(dir, lock, &full)
	if format != "" {
		s.found.damaged(formatName, format)
	}
	if _, err := full.FS.Stat(full.FS.PathJoin(dir, unfinishedName)); !errors.Is(err, fs.ErrNotExist) {
		s.found.damaged(unfinishedName, errUnfinished.Error())
	}
	if err := s.missingFiles(); err != nil {
		return nil, err
	}
	if s.engine != nil {
		defer s.engine.close() //nolint:errcheck // it was opened to read
	}
	t := &tally{to: to, found: s.found, entries: make(map[string]index.Entry), blobs: make(map[string]blob.Sum)}
	opening := s.found.Damage
	if err := s.each(ctx, func(key, value []byte) error { return t.put(ctx, key, value) }); err != nil {
		return nil, err
	}
	s.found.Damage = append(opening, s.found.Damage...)
	return s.found, t.finish(ctx)
}

// checkFormatFile returns what is wrong with the file that says the format version.
// Its error is of a directory that does not hold a store, or one of a newer version.
func checkFormatFile(fsys vfs.FS, dir string) (damage string, err error) {
	names, err := fsys.List(dir)
	if err != nil {
		return "", err
	}
	if _, err = readFormat(fsys, dir); err == nil {
		return "", nil
	}
	var newer *versionError
	if errors.As(err, &newer) || !slices.ContainsFunc(names, isManifestMarker) && !slices.ContainsFunc(names, holdsData) {
		return "", err
	}
	if damage, ok := errors.AsType[*DamageError](err); ok {
		return damage.What, nil
	}
	return err.Error(), nil
}

// newSalvage opens the store to read, if it can be opened, and notes why not.
func newSalvage(dir string, lock *pebble.Lock, opts *Options) *salvage {
	s := &salvage{dir: dir, opts: *opts, found: &Findings{}, points: make(map[string]uint64), skips: make(map[string][]byte), newest: make(map[string]uint64)}
	manifest, err := wal.CheckManifest(opts.FS, dir)
	if err == nil && manifest.Damage != "" {
		s.found.damaged(manifest.Name, manifest.Damage)
	}
	quiet := *opts
	quiet.Logger = slog.New(slog.DiscardHandler)
	fuse := newFuse(dir, &quiet)
	o := pebbleOptions(lock, &quiet, fuse)
	o.ReadOnly = true
	if err := missing(dir, o); err != nil {
		s.found.damaged("the store", err.Error())
		o.FS = listing{fuse, dir, unknownTables(err)}
	}
	replayed := &witness{FS: o.FS}
	o.FS, o.DisableConsistencyCheck = replayed, true
	o.EnsureDefaults()
	s.read = o.MakeReaderOptions()
	s.engine, _ = openPebble(dir, o, fuse)
	if s.engine != nil && manifest.Whole {
		s.leaveOut(replayed.first())
	}
	return s
}

// witness is a file system that remembers which logs were opened to read.
type witness struct {
	vfs.FS
	mu   sync.Mutex
	logs []uint64 // guarded by mu
}

func (w *witness) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if number, ok := logNumber(name); ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.logs = append(w.logs, number)
	}
	return w.FS.Open(name, opts...)
}

// first returns the number of the oldest log that was opened, or a larger one than any
// log has.
func (w *witness) first() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Min(append(w.logs, math.MaxUint64))
}

// listing is a file system that lists more files in a directory than there are.
// Pebble then tells what it knows of them.
type listing struct {
	vfs.FS
	dir  string
	more []string
}

func (l listing) List(dir string) ([]string, error) {
	names, err := l.FS.List(dir)
	if err == nil && dir == l.dir {
		names = append(names, l.more...)
	}
	return names, err
}

// unknownTable is how Pebble's error calls a table that is missing.
var unknownTable = regexp.MustCompile(`file ([0-9]+) \(type sstable\) unknown`)

// unknownTables returns the names of the tables that an error of opening calls missing.
func unknownTables(err error) (names []string) {
	for _, match := range unknownTable.FindAllStringSubmatch(err.Error(), -1) {
		names = append(names, match[1]+".sst")
	}
	return names
}

// missing returns why the store cannot be opened to read.
func missing(dir string, o *pebble.Options) (err error) {
	defer raised(&err)
	db, err := pebble.Open(dir, o.Clone())
	if err != nil {
		return err
	}
	return db.Close()
}

// tally counts entries and blobs, and finds missing ones.
type tally struct {
	to      *DB
	found   *Findings
	entries map[string]index.Entry // by key in the store
	blobs   map[string]blob.Sum    // by the blob's key in the store
}

// put takes one record.
func (t *tally) put(ctx context.Context, key, value []byte) error {
	switch key[0] {
	case entrySpace:
		_, at, err := parseEntryKey(key)
		if err != nil {
			return err
		}
		e, err := parseEntryValue(at, value)
		if err != nil {
			return err
		}
		t.entries[string(key)] = e
		return nil
	case blobSpace, ageLessSpace:
		t.blobs[string(key)] = blob.SumOf(value)
	case placeSpace:
		t.found.Places++
	default:
		return fmt.Errorf("key %x is of no known kind", key)
	}
	return t.copy(ctx, record{slices.Clone(key), slices.Clone(value)})
}

func (t *tally) copy(ctx context.Context, r record) error {
	if t.to == nil {
		return nil
	}
	err := t.to.change(ctx, []string{string(r.key)}, func(e *engine) (*pebble.Batch, error) {
		batch := e.pebble.NewBatch()
		return batch, batch.Set(r.key, r.value, nil)
	})
	if err != nil {
		return errStop{err}
	}
	return nil
}

// finish compares entries and blobs, and copies the entries that have one.
func (t *tally) finish(ctx context.Context) error {
	named := make(map[string]struct{})
	for _, key := range slices.Sorted(maps.Keys(t.entries)) {
		e := t.entries[key]
		at := string(blobKey(e.Key))
		sum, ok := t.blobs[at]
		named[at] = struct{}{}
		why := ""
		switch {
		case !ok:
			why = "its blob is lost"
		case e.Sum.Known() && e.Sum != sum:
			why = "its blob is not the one that was stored"
		}
		if why != "" {
			row, _, err := parseEntryKey([]byte(key))
			if err != nil {
				return err
			}
			t.found.Lost = append(t.found.Lost, LostValue{row.Tenant, e, why})
			continue
		}
		t.found.Entries++
		if err := t.copy(ctx, record{[]byte(key), (&DB{format: formatVersion}).entryValue(e)}); err != nil {
			return err
		}
	}
	t.found.Blobs = len(t.blobs)
	for key := range t.blobs {
		switch _, ok := named[key]; {
		case ok:
		case strings.HasPrefix(key[1:], index.RollUpPrefix):
			t.found.RollUps++
		default:
			t.found.Unnamed++
		}
	}
	return nil
}
