package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/journal"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/health"
)

// journalName is the journal's directory within the directory of an embedded store.
const journalName = "journal"

// journalForms is what help says about the journal.
const journalForms = `With a journal a report is on disk before its post is answered, and stays there until it is stored. A collector
that was killed stores it after the next start, once. While the store is away, what waits rests in the journal;
when the journal is full, posts are answered with 503. With --data the journal is always on. When a collector
never comes back, "collector replay" stores what its journal holds.`

// journaling are the flags of the journal, and the journal.
type journaling struct {
	dir  string
	sync journal.Sync
	size *cli.Size

	open  *journal.Journal // nil for none
	other bool             // the embedded store was last used with another journal
	older bool             // the embedded store took later records of this journal than it holds
	took  *taking          // nil for a store that does not note what it took
	rely  relyFunc         // nil where the store does not rely on this journal
}

// relyFunc is local.DB.Rely.
type relyFunc = func(local.Journal) error

func defineJournal(f *cli.Flags) *journaling {
	j := &journaling{}
	f.StringVar(&j.dir, "journal", "", "keep reports that are not stored yet in the `DIR`; always on with --data, where the default is DIR/"+journalName)
	f.TextVar(&j.sync, "journal-sync", journal.Always, "`WHEN` a report must have reached the disk: before its post is answered (always), within "+
		"100ms (interval), or when the system likes (off); a kill of the process loses nothing with any")
	j.size = f.Size("journal-size", 4<<30, "answer 503 when the journal holds up to `BYTES`")
	f.Must(func() error {
		if *j.size < minJournal {
			return fmt.Errorf("--journal-size %v: must be at least %v", j.size, human.ExactBytes(minJournal))
		}
		return nil
	})
	return j
}

// minJournal is the least size of a journal, in bytes.
const minJournal = 32 << 20

// dirOf returns the journal's directory, "" for none.
func (j *journaling) dirOf(place *stores.Place) string {
	if j.dir == "" && place.Embedded() {
		return filepath.Join(place.Data, journalName)
	}
	return j.dir
}

// start opens the journal, if there is to be one, and tells its damage. Records
// that are done are kept for a window, so that repeated reports are recognised
// after a restart.
func (j *journaling) start(place *stores.Place, window time.Duration, metrics prometheus.Registerer, log *slog.Logger) (err error) {
	dir := j.dirOf(place)
	if dir == "" {
		log.Warn("there is no --journal: a kill loses the reports that were acknowledged and not stored yet, " +
			"which is a tick's, and all since the store went away")
		return nil
	}
	if local.Exists(dir, nil) {
		return fmt.Errorf("--journal %s: it is the directory of an embedded store: give a directory of its own", dir)
	}
	size := int64(*j.size)
	j.open, err = journal.Open(dir, &journal.Options{Sync: j.sync, MaxBytes: size, SegmentBytes: min(64<<20, size/8), Keep: window,
		Registerer: metrics, Namespace: stores.Namespace})
	if err != nil {
		return stores.Named("--journal", err)
	}
	for _, d := range j.open.Damage() {
		level := slog.LevelError
		if d.Torn {
			level = slog.LevelWarn
		}
		log.Log(context.Background(), level, "the journal is damaged", "dir", dir, "damage", d.String())
	}
	return nil
}

// relies has an embedded store note that the journal may hold reports which the store lacks. It logs
// that the store was last used with another journal, and not stopped in order since.
func (j *journaling) relies(place *stores.Place, store *stores.Store, log *slog.Logger) error {
	if store.Rely == nil {
		return nil
	}
	before, err := local.Relied(place.Data, nil)
	if err != nil {
		return err
	}
	mine := local.Journal{ID: j.open.ID()}
	if mine.Dir, err = filepath.Abs(j.dirOf(place)); err != nil {
		return err
	}
	j.rely = store.Rely
	if before == mine {
		return nil
	}
	if j.other = before.ID != "" && before.ID != mine.ID; j.other {
		log.Error("the store was last used with another journal, which may hold reports that the store lacks: "+otherJournal, "journal", mine.Dir, "other", before.Dir)
	}
	if err := j.rely(mine); err != nil {
		log.Warn("a later start with another journal will not be noticed", "err", err)
	}
	return nil
}

// takes has an embedded store note what it takes from the journal. It logs that the store took later records than the
// journal holds.
func (j *journaling) takes(store *stores.Store, log *slog.Logger) {
	if store.Took == nil || j.open.ID() == "" {
		return
	}
	j.took = &taking{note: store.Took, journal: j.open}
	before, err := j.took.now()
	if err != nil {
		log.Warn("an older copy of the journal will not be noticed", "err", err)
	}
	if j.older = before > j.open.Last(); j.older {
		log.Error("the store took later records from this journal than the journal holds: the journal is an older copy, or lost its end in a power "+
			"failure: reports may be missing, and those of an older copy may count twice", "last", j.open.Last(), "taken", before)
	}
	if sync := store.Sync; sync != nil {
		store.Sync = func(ctx context.Context) error {
			j.took.sometimes()
			return sync(ctx)
		}
	}
}

// taking notes in an embedded store up to which record it may hold what the journal holds.
type taking struct {
	note    func(journal string, last uint64) (before uint64, err error)
	journal *journal.Journal

	mu   sync.Mutex
	last time.Time // of the last note; guarded by mu, which also keeps notes apart
}

// takenEvery is how far the notes are apart at least: each costs two syncs of the disk.
const takenEvery = 10 * time.Second

// now writes a note, and returns the number of the one before.
func (t *taking) now() (before uint64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = time.Now()
	return t.note(t.journal.ID(), t.journal.Last())
}

// sometimes writes a note when the last one is old enough. Where it fails, an older copy may pass for the journal.
func (t *taking) sometimes() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.last) >= takenEvery {
		t.last = time.Now()
		_, _ = t.note(t.journal.ID(), t.journal.Last())
	}
}

// otherJournal says what to do about reports that are in another journal than the one that is used.
const otherJournal = "if it is still there, stop the collector and run collector replay with --journal OTHER"

// resumes has the store note, when all is delivered, that it lacks nothing of this journal. It warns when the store was
// last used with another one.
func (j *journaling) resumes(place *stores.Place, store *stores.Store, log *slog.Logger) error {
	if store.Rely == nil {
		return nil
	}
	before, err := local.Relied(place.Data, nil)
	switch {
	case err != nil:
		return err
	case before.ID == j.open.ID():
		j.rely = store.Rely
	case before.ID != "":
		log.Warn("the store was last used with another journal, which may hold reports that the store lacks", "other", before.Dir)
	}
	return nil
}

// countedJournal is how many bytes of a journal are read to count the reports that wait in it.
const countedJournal = 256 << 20

// warnOfJournal says that a journal holds what a collector has acknowledged and may not have stored in a directory, so
// that a command which reads the directory does not see it. It does not read a large journal.
func warnOfJournal(p *cli.Process, place *stores.Place) {
	if !place.Embedded() {
		return
	}
	relied, err := local.Relied(place.Data, nil)
	if err != nil {
		p.Warn("warning: %v", err)
	}
	seen := relied.ID == ""
	for _, dir := range []string{filepath.Join(place.Data, journalName), relied.Dir} {
		id, waits, err := waitsIn(dir)
		if _, held := errors.AsType[*journal.LockedError](err); held {
			return // by a collector, which holds the directory as well
		}
		if err != nil {
			continue
		}
		seen = seen || id == relied.ID
		if waits != "" {
			p.Warn("warning: %s holds reports that may not be in the store yet (%s): start the collector, or run collector replay", dir, waits)
		}
		if seen {
			return
		}
	}
	if seen {
		return
	}
	p.Warn("warning: the store was last used with the journal %s, which is gone or cannot be read: reports may be missing", relied.Dir)
}

// waitsIn returns a journal's id, and how much waits in it: records, or up to so many bytes of a large one; "" for nothing.
func waitsIn(dir string) (id, waits string, err error) {
	size, id, err := journal.Peek(dir)
	if err != nil {
		return "", "", err
	}
	if size > countedJournal {
		return id, fmt.Sprintf("up to %v", cli.Size(size)), nil
	}
	j, err := journal.Open(dir, &journal.Options{ReadOnly: true})
	if err != nil {
		return "", "", err
	}
	defer j.Close()
	if n := j.Stats().Live; n > 0 {
		waits = human.Plural(n, "record")
	}
	return j.ID(), waits, nil
}

// bucket returns the journal as the collector takes it.
func (j *journaling) bucket() bucket.Journal {
	if j.open == nil {
		return nil
	}
	return j.open
}

// replacesLog reports whether the embedded store may do without a log of its own,
// because the journal keeps what the store has in memory. A journal that leaves it
// to the system when to write might lose that together with the store.
func (j *journaling) replacesLog(r role) bool { return r != roleQuery && j.sync != journal.Off }

// syncBytes is after how many bytes of reports the embedded store syncs: a flush of
// less would be compacted more often, and the journal must not fill meanwhile.
func (j *journaling) syncBytes() int64 { return min(24<<20, int64(*j.size)/8) }

// keeps says what becomes of values that a stop could not store.
func (j *journaling) keeps() string {
	switch {
	case j.open == nil:
		return "lost"
	case errors.Is(j.open.Stats().ReadOnly, journal.ErrRemoved):
		return "lost: the files of the journal were removed"
	}
	return "not stored: the journal keeps them for the next start"
}

func (j *journaling) close() error {
	if j.open == nil {
		return nil
	}
	if j.took != nil {
		_, _ = j.took.now() // where it fails, an older copy may pass for the journal
	}
	if j.rely != nil && j.open.Stats().Live == 0 {
		_ = j.rely(local.Journal{}) // where it fails, the store asks for a journal that holds nothing
	}
	return j.open.Close()
}

// damaged reports whether records that were acknowledged may be lost.
func (j *journaling) damaged() bool {
	return j.open != nil && (j.other || j.older || j.holed())
}

// holed reports whether the journal has lost records that were acknowledged.
func (j *journaling) holed() bool {
	return slices.ContainsFunc(j.open.Damage(), func(d journal.Damage) bool { return !d.Torn })
}

// nearlyFull is how many bytes of room make a journal full: a report may have as
// many.
const nearlyFull = 1 << 20

// reasonOf returns what the system said of a file, without the file's name.
func reasonOf(fault error) string {
	if number, ok := errors.AsType[syscall.Errno](fault); ok {
		return number.Error()
	}
	return "the collector's log says why"
}

// checks returns the readiness checks of the journal: it has room. Damage in it is
// only a note.
func (j *journaling) checks() []health.Check {
	if j.open == nil {
		return nil
	}
	room := func(context.Context) error {
		s := j.open.Stats()
		if errors.Is(s.ReadOnly, journal.ErrReopen) {
			return health.Unready(fmt.Sprintf("takes no reports until the collector is started again: %v", s.ReadOnly))
		}
		if _, locked := errors.AsType[*journal.LockedError](s.ReadOnly); locked {
			return health.Unready("takes no reports: another process uses its directory")
		}
		if s.ReadOnly != nil {
			return health.Unready("is on a disk that is read-only or full: reports are taken a second after the disk takes writes")
		}
		if s.Fault != nil {
			return health.Unready("its disk fails, and reports are refused: " + reasonOf(s.Fault))
		}
		if s.Bytes+nearlyFull > s.Limit {
			return health.Unready(fmt.Sprintf("is full: it has %v of %v, for reports that are not stored yet", human.Bytes(s.Bytes), human.Bytes(s.Limit)))
		}
		return nil
	}
	whole := func(context.Context) error {
		if j.other {
			return health.Unready("is not the one that the store was last used with: the collector's log names the other")
		}
		if j.older {
			return health.Unready("is an older copy of the one that the store was used with, or has lost its end: reports may be missing or count twice")
		}
		if j.holed() {
			return health.Unready("is damaged: the collector's log says where")
		}
		return nil
	}
	return []health.Check{{Name: "journal", Run: room}, {Name: "journal", Run: whole, Optional: true}}
}
