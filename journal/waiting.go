package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"
)

// waiting belongs to a journal whose disk took no writes when the journal was opened. It
// waits until the disk takes them, and then the journal takes records.
type waiting struct {
	journal *Journal
	why     atomic.Pointer[error] // the reason why Append refuses records
	stop    chan struct{}
	ended   chan struct{}
}

func newWaiting(j *Journal, why error) *waiting {
	w := &waiting{journal: j, stop: make(chan struct{}), ended: make(chan struct{})}
	w.why.Store(&why)
	return w
}

// refusal is the error for a record. It names no file, since it may be told to a client.
func (w *waiting) refusal() error {
	why := *w.why.Load()
	if errors.Is(why, ErrReopen) {
		return &refusal{": " + why.Error(), why}
	}
	if _, ok := errors.AsType[*LockedError](why); ok {
		return &refusal{" while another process uses its directory", why}
	}
	if failed, ok := errors.AsType[*fs.PathError](why); ok {
		why = failed.Err
	}
	return &refusal{" until its disk takes writes: " + why.Error(), why}
}

// errWrongName says that a new segment could take the place of a file.
var errWrongName = fmt.Errorf("a segment's file has a wrong name, which needs a disk that takes writes: %w", ErrReopen)

// run tries again and again to lock the journal for writing. r has read the records that exist.
func (w *waiting) run(r *recovery) {
	defer close(w.ended)
	ticker := time.NewTicker(w.journal.opts.pause)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-w.stop:
			return
		}
		err := w.try(r)
		if err == nil {
			return
		}
		w.why.Store(&err)
	}
}

// try has the journal take records if the disk takes writes.
func (w *waiting) try(r *recovery) error {
	if r.wrong {
		return errWrongName
	}
	if err := w.probe(); err != nil {
		return err
	}
	return w.swapLocks(func() error {
		if err := w.unchanged(r); err != nil {
			return err
		}
		w.journal.startWriting(r)
		return nil
	})
}

// probeName is the name of a file that is removed at once, or by the next Open.
const probeName = "probe" + newSuffix

// probe makes the directory, if need be, and a file in it.
func (w *waiting) probe() error {
	files, dir := w.journal.opts.files, w.journal.dir
	if err := w.journal.makeDirectory(); err != nil {
		return err
	}
	f, err := files.Open(filepath.Join(dir, probeName), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), files.Remove(filepath.Join(dir, probeName)))
}

// swapLocks replaces the journal's lock for reading by one for writing, and calls then. It
// releases the first lock before it takes the second, so then must check that nobody wrote
// meanwhile. When then fails, swapLocks locks the journal for reading again.
func (w *waiting) swapLocks(then func() error) (err error) {
	j := w.journal
	if err := j.lock.Close(); err != nil {
		return err
	}
	if j.lock, err = j.lockToWrite(); err == nil {
		if err = then(); err == nil {
			return nil
		}
		err = errors.Join(err, j.lock.Close())
	}
	var locked error
	if j.lock, locked = j.opts.files.Lock(filepath.Join(j.dir, lockName), true); locked != nil {
		j.lock = io.NopCloser(nil) // another process has it; the files that are open stay readable
	}
	return err
}

// unchanged returns an error when the segments differ from the segments that r has read. A process that
// opens a journal begins a segment before it writes.
func (w *waiting) unchanged(r *recovery) error {
	names, err := w.journal.opts.files.Names(w.journal.dir)
	if err == nil && !slices.Equal(segmentsAmong(names), r.names) {
		err = fmt.Errorf("another process has written to the journal meanwhile: %w", ErrReopen)
	}
	return err
}

// segmentsAmong returns the names of segments among names, sorted.
func segmentsAmong(names []string) (segments []string) {
	for _, name := range names {
		if _, ok := segmentID(name); ok {
			segments = append(segments, name)
		}
	}
	slices.Sort(segments)
	return segments
}

// end ends the wait. A journal that does not wait may call it.
func (w *waiting) end() {
	if w == nil {
		return
	}
	close(w.stop)
	<-w.ended
}
