package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sort"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/timeblob/timeblob/local/internal/wal"
)

// salvage reads the tables and logs of a directory one by one, without the
// manifest and without trusting any of them.
type salvage struct {
	dir    string
	opts   Options
	engine *engine // reads separated values; nil when the store cannot be opened
	read   sstable.ReaderOptions
	found  *Findings

	live     map[string]bool // the tables that the manifest names; nil: nobody knows
	firstLog uint64          // likewise, the oldest log that is not in the tables yet

	points map[string]uint64 // of removed keys, the sequence number of the removal
	ranges []removal
	skips  map[string][]byte // by file and the last key before a damaged block: the next key that can be read
	newest map[string]uint64 // of places, the sequence number of the newest
}

// removal is the removal of a range of keys.
type removal struct {
	from, to []byte
	seq      uint64
}

// leaveOut has the salvage read the tables that the manifest names and the logs from a
// first one on, and no others. A kill leaves tables that were being written and are not
// whole, and files that were replaced. Replaced files hold old states of places, and of
// keys that were removed or put again. A table that replaced them says of none of its
// records that it is newer, because Pebble forgets the order of records that nothing is
// older than.
func (s *salvage) leaveOut(firstLog uint64) {
	levels, err := s.engine.pebble.SSTables()
	if err != nil {
		return
	}
	s.live, s.firstLog = tableFiles(levels), firstLog
}

// leavesOut reports whether the salvage takes no records from a file.
func (s *salvage) leavesOut(name string) bool {
	if s.live == nil {
		return false
	}
	if number, isLog := logNumber(name); isLog {
		return number < s.firstLog
	}
	return !s.live[name]
}

// noVisit is for a log that only has to be sound: Open reads every log.
func noVisit(pebble.InternalKeyKind, uint64, []byte, func() ([]byte, error)) error { return nil }

// missingFiles notes the files that should be there and are not, or not whole, and
// what they held. Without the manifest nobody knows of tables that are missing.
func (s *salvage) missingFiles() error {
	if gone, err := missingLog(s.dir, &s.opts); err != nil {
		return err
	} else if gone != nil {
		s.found.damaged(gone.File, gone.What)
	}
	if s.engine == nil {
		return nil
	}
	levels, err := s.engine.pebble.SSTables()
	if err != nil {
		return err
	}
	for _, t := range slices.Concat(levels...) {
		name, state := fmt.Sprintf("%06d.sst", t.FileNum), ""
		switch info, err := s.opts.FS.Stat(s.opts.FS.PathJoin(s.dir, name)); {
		case t.Virtual:
			continue // part of a file of another name
		case errors.Is(err, fs.ErrNotExist):
			state = "is missing"
		case err != nil:
			return err
		case uint64(info.Size()) != t.Size:
			state = fmt.Sprintf("has %d bytes of %d", info.Size(), t.Size)
		default:
			continue
		}
		s.found.damaged(name, fmt.Sprintf("it %s, and held records from %s to %s", state, nameOf(t.Smallest.UserKey), nameOf(t.Largest.UserKey)))
	}
	return nil
}

// each calls put with every record that was not removed. A record may come more
// than once, and of a place the newest comes last.
func (s *salvage) each(ctx context.Context, put func(key, value []byte) error) error {
	names, err := s.opts.FS.List(s.dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, collect := range []bool{true, false} {
		s.found.Damage = s.found.Damage[:0:0]
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.file(name, s.visitor(collect, put)); err != nil {
				return err
			}
		}
	}
	return nil
}

// visit is called with each version of a key.
type visit func(kind pebble.InternalKeyKind, seq uint64, key []byte, value func() ([]byte, error)) error

// visitor returns what is to be done with each version of a key: first the
// removals are collected, then what they leave is put.
func (s *salvage) visitor(collect bool, put func(key, value []byte) error) visit {
	return func(kind pebble.InternalKeyKind, seq uint64, key []byte, value func() ([]byte, error)) error {
		switch kind {
		case pebble.InternalKeyKindDelete, pebble.InternalKeyKindSingleDelete, pebble.InternalKeyKindDeleteSized:
			s.points[string(key)] = max(s.points[string(key)], seq)
		case pebble.InternalKeyKindRangeDelete:
			to, err := value()
			if err == nil && collect {
				s.ranges = append(s.ranges, removal{bytes.Clone(key), bytes.Clone(to), seq})
			}
			return err
		case pebble.InternalKeyKindSet, pebble.InternalKeyKindSetWithDelete:
			if collect || s.removed(key, seq) || s.older(key, seq) {
				return nil
			}
			v, err := value()
			if err != nil {
				return err
			}
			return put(key, v)
		}
		return nil
	}
}

func (s *salvage) removed(key []byte, seq uint64) bool {
	if at, ok := s.points[string(key)]; ok && at > seq {
		return true
	}
	return slices.ContainsFunc(s.ranges, func(r removal) bool {
		return r.seq > seq && bytes.Compare(r.from, key) <= 0 && bytes.Compare(key, r.to) < 0
	})
}

// older tells whether a place was met that is newer.
func (s *salvage) older(key []byte, seq uint64) bool {
	if key[0] != placeSpace {
		return false
	}
	if newest, ok := s.newest[string(key)]; ok && newest >= seq {
		return true
	}
	s.newest[string(key)] = seq
	return false
}

// errStop carries an error of put through the readers of damaged files.
type errStop struct{ error }

// file reads one table or log. Damage is noted and no error.
func (s *salvage) file(name string, v visit) error {
	var err error
	switch number, isLog := logNumber(name); {
	case isLog && s.leavesOut(name):
		err = s.log(name, number, noVisit)
	case s.leavesOut(name):
	case isLog:
		err = s.log(name, number, v)
	case filepath.Ext(name) == ".sst":
		err = s.table(name, v)
	}
	var stop errStop
	if errors.As(err, &stop) {
		return stop.error
	}
	if err != nil {
		s.found.damaged(name, err.Error())
	}
	return nil
}

func (s *salvage) log(name string, number uint64, v visit) error {
	f, err := s.opts.FS.Open(s.opts.FS.PathJoin(s.dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	synced, err := wal.ReadSynced(s.opts.FS, s.dir)
	if err != nil {
		return err
	}
	var faults []error
	log, err := wal.Read(f, number, func(record []byte) { faults = append(faults, batch(record, v)) })
	if err != nil {
		return errors.Join(append(faults, err)...)
	}
	if synced.Log != number {
		synced.Length = 0
	}
	if what := log.Damage(synced.Length); what != "" {
		faults = append(faults, errors.New(what))
	}
	return errors.Join(faults...)
}

// batch calls visit with what a log's record holds.
func batch(record []byte, v visit) error {
	header, ok := batchrepr.ReadHeader(record)
	if !ok {
		return errors.New("a record is no batch")
	}
	r := batchrepr.Read(record)
	for seq := uint64(header.SeqNum); ; seq++ {
		kind, key, value, ok, err := r.Next()
		if err != nil || !ok {
			return err
		}
		if err := v(kind, seq, key, func() ([]byte, error) { return value, nil }); err != nil {
			return err
		}
	}
}

func (s *salvage) table(name string, v visit) (err error) {
	defer raised(&err)
	f, err := s.opts.FS.Open(s.opts.FS.PathJoin(s.dir, name))
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(context.Background(), readable, s.read)
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	defer r.Close()
	return errors.Join(s.removals(r, v), s.keys(name, r, v))
}

// removals visits the removed ranges of a table.
func (s *salvage) removals(r *sstable.Reader, v visit) error {
	it, err := r.NewRawRangeDelIter(context.Background(), sstable.NoFragmentTransforms, sstable.NoReadEnv)
	if err != nil || it == nil {
		return err
	}
	defer it.Close()
	span, err := it.First()
	for ; span != nil && err == nil; span, err = it.Next() {
		to := span.End
		for _, k := range span.Keys {
			err := v(pebble.InternalKeyKindRangeDelete, uint64(k.SeqNum()), span.Start, func() ([]byte, error) { return to, nil })
			if err != nil {
				return err
			}
		}
	}
	return err
}

// keys visits the keys of a table. Behind a damaged block it goes on.
func (s *salvage) keys(name string, r *sstable.Reader, v visit) (err error) {
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.DebugHandlesBlobContext)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var faults []error
	var last []byte
	kv := it.First()
	for {
		for ; kv != nil; kv = it.Next() {
			last = append(last[:0], kv.K.UserKey...)
			value := func() ([]byte, error) {
				value, _, err := kv.Value(nil)
				if err != nil || !bytes.HasPrefix(value, []byte("blob-value:")) {
					return value, err
				}
				return s.separated(last)
			}
			if err := v(kv.K.Kind(), uint64(kv.K.SeqNum()), last, value); err != nil {
				var stop errStop
				if errors.As(err, &stop) {
					return err
				}
				faults = append(faults, fmt.Errorf("%s: %w", nameOf(last), err))
			}
		}
		if it.Error() == nil {
			return errors.Join(faults...)
		}
		faults = append(faults, fmt.Errorf("behind %s: %w", nameOf(last), it.Error()))
		next, known := s.skips[name+string(last)]
		if !known {
			next = skip(last, func(key []byte) bool { it.SeekGE(key, 0); return it.Error() == nil })
			s.skips[name+string(last)] = next
		}
		if next == nil {
			return errors.Join(faults...)
		}
		kv = it.SeekGE(next, 0)
	}
}

// separated returns a value that stands in a value file.
func (s *salvage) separated(key []byte) ([]byte, error) {
	if s.engine == nil {
		return nil, errors.New("its value stands in a value file, which cannot be found without the manifest")
	}
	return s.engine.get(key)
}

// skip finds the end of a damaged block. Last is the last key before the block,
// and ok reports whether the table can be read from a key on. Skip returns a key
// after last for which ok is true. It may pass over a few readable keys behind the
// block, so that it needs few calls of ok. It returns nil when it finds no such
// key. Each call of ok may take tens of milliseconds, because Pebble looks for the
// bit that was flipped.
func skip(last []byte, ok func(key []byte) bool) []byte {
	at := func(i, c int) []byte { return append(bytes.Clone(last[:i]), byte(c)) }
	failed := len(last)
	for i := len(last) - 1; i >= 0; i-- {
		if last[i] == 0xff {
			continue
		}
		if !ok(at(i, int(last[i])+1)) {
			failed = i
			continue
		}
		if failed == len(last) {
			return at(i, int(last[i])+1)
		}
		first := int(last[failed]) + 2
		c := first + sort.Search(0x100-first, func(n int) bool { return ok(at(failed, first+n)) })
		if c > 0xff {
			return at(i, int(last[i])+1)
		}
		return at(failed, c)
	}
	return nil
}

// nameOf says what a key in the store stands for.
func nameOf(key []byte) string {
	if row, at, err := parseEntryKey(key); err == nil {
		return fmt.Sprintf("the entry of tenant %q at %s", row.Tenant, time.Unix(0, at).UTC().Format(time.RFC3339Nano))
	}
	switch {
	case len(key) > hourPrefix && key[0] == blobSpace:
		hour := time.Unix(ordered(key[1:])*3600, 0).UTC().Format(time.RFC3339)
		return fmt.Sprintf("the blob %q of the hour from %s", key[hourPrefix:], hour)
	case len(key) > 1 && key[0] == ageLessSpace:
		return fmt.Sprintf("the blob %q", key[1:])
	case len(key) == 0:
		return "the beginning"
	}
	return fmt.Sprintf("key %x", key)
}
