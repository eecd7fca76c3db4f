package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	keeperPause = time.Second // between two looks at what can be removed by now
	moveBytes   = 1 << 20     // that are moved at a time
	doneAtATime = 100_000     // records that are looked at for one that is not done
	asideShare  = 8           // files kept aside take at most this part of MaxBytes
)

// keeper is the one goroutine that removes segments. Segments go in the order
// in which they were written: so a record that calls others done is there as
// long as these are. The few records that keep an old segment are copied to
// the end of the journal first.
type keeper struct {
	*Journal
	wake    chan struct{} // has one element when there may be something to remove
	stop    chan struct{}
	ended   chan struct{}
	failing failure
}

func newKeeper(j *Journal) *keeper {
	return &keeper{Journal: j, wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{})}
}

// kick makes the keeper look for something to do.
func (k *keeper) kick() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *keeper) close() {
	close(k.stop)
	<-k.ended
}

func (k *keeper) run() {
	defer close(k.ended)
	ticker := time.NewTicker(keeperPause)
	defer ticker.Stop()
	for {
		for k.step() {
		}
		select {
		case <-k.wake:
		case <-ticker.C:
			if k.ledger.ended() { // their write failed, or was not begun
				k.queue.kick()
			}
			k.look()
			k.noteDone(doneAtATime, false)
		case <-k.stop:
			return
		}
	}
}

// look finds out whether somebody else has removed a segment's file. The journal can
// still read it, but another process cannot after a kill. So no further value is taken.
// The listing of a network's file system may lack a file that is there, so the file is
// opened too.
func (k *keeper) look() {
	expected := k.ledger.files() // only the keeper removes some of them
	names, err := k.opts.files.Names(k.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	for _, name := range expected {
		if !slices.Contains(names, name) && k.isGone(name) && !k.gone.Swap(true) {
			_ = k.metrics.fault(errGone)
		}
	}
}

// isGone reports whether the system finds no file of a name.
func (k *keeper) isGone(name string) bool {
	f, err := k.opts.files.Open(filepath.Join(k.dir, name), os.O_RDONLY)
	if err == nil {
		_ = f.Close()
	}
	return errors.Is(err, fs.ErrNotExist)
}

// step removes the oldest segment, or moves its records, when that is due. It
// reports whether it did.
func (k *keeper) step() bool {
	select {
	case <-k.stop:
		return false
	default:
	}
	front, remove, move := k.ledger.oldest(k.opts.Keep, k.opts.MaxBytes, k.limit())
	switch {
	case remove:
		return k.release(front)
	case move:
		return k.move(front)
	}
	return false
}

// release removes the oldest segment's file, or keeps it aside.
func (k *keeper) release(s *segment) bool {
	next, aside := k.ledger.after()
	k.state.set(k.opts.Sync != Off, func(v *stateValues) { v.oldest = next })
	var err error
	if aside {
		err = k.opts.files.Rename(s.path, asideName(s.path))
	} else {
		err = k.opts.files.Remove(s.path)
	}
	if k.metrics.fault(err) != nil && !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	k.ledger.remove()
	_ = k.metrics.fault(s.file.Close())
	if aside {
		k.trim()
	}
	return true
}

// trim removes the oldest files that are kept aside until the rest is at most
// their part of MaxBytes. The newest one stays.
func (k *keeper) trim() {
	names, err := k.opts.files.Names(k.dir)
	if k.metrics.fault(err) != nil {
		return
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.Contains(name, asideInfix) })
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(asideTime(b), asideTime(a)) })
	var bytes int64
	for i, name := range names {
		path := filepath.Join(k.dir, name)
		bytes += k.size(path)
		if i > 0 && bytes > k.opts.MaxBytes/asideShare {
			_ = k.metrics.fault(k.opts.files.Remove(path))
		}
	}
}

// size returns a file's bytes, 0 when it cannot be looked at.
func (k *keeper) size(path string) int64 {
	f, err := k.opts.files.Open(path, os.O_RDONLY)
	if k.metrics.fault(err) != nil {
		return 0
	}
	defer f.Close()
	info, err := f.Stat()
	if k.metrics.fault(err) != nil {
		return 0
	}
	return info.Size()
}

// asideName is the name of a segment's file that is kept aside from now on.
func asideName(path string) string {
	return path + asideInfix + time.Now().UTC().Format("20060102T150405.000000000")
}

// asideTime is the part of a name that says when the file was put aside.
func asideTime(name string) string {
	_, at, _ := strings.Cut(name, asideInfix)
	return at
}

// move copies the records of the oldest segment that are not done to the end
// of the journal. It reports whether all of them have moved.
func (k *keeper) move(s *segment) bool {
	var group []*entry
	var bytes int64
	for _, id := range k.ledger.standing(s) {
		p, err := k.ledger.place(id)
		if err != nil || p.seg != s {
			continue
		}
		e, err := copyOf(p, id)
		if err != nil && !k.isLasting(err) {
			return false
		}
		if err != nil {
			k.unreadable(p, id, err)
			continue
		}
		if err := k.queue.add(e); err != nil {
			return false
		}
		group, bytes = append(group, e), bytes+e.size
		if bytes >= moveBytes {
			if !k.copied(group, bytes) {
				return false
			}
			group, bytes = nil, 0
		}
	}
	k.failing = failure{}
	return k.copied(group, bytes)
}

// patience is for how many pauses of the journal the disk may fail to read a record that
// is to be moved. Then the record is lost, so that it does not fill the journal.
const patience = 60

// isLasting reports whether a record that cannot be read is lost.
func (k *keeper) isLasting(err error) bool {
	if _, corrupt := errors.AsType[*CorruptError](err); corrupt {
		return true
	}
	now, f := time.Now(), &k.failing
	if now.Sub(f.last) > apart {
		f.first = now
	}
	f.last = now
	return now.Sub(f.first) >= patience*k.opts.pause
}

// apart is the time between two failures that do not belong together: while reading
// fails, the keeper tries about once a second.
const apart = 10 * time.Second

// failure is a stretch of time in which the disk cannot read what is to be moved.
type failure struct{ first, last time.Time }

// copyOf returns an entry that writes a record once more.
func copyOf(p place, id uint64) (*entry, error) {
	kind, meta, blob, err := p.seg.read(p, id)
	if err != nil {
		return nil, err
	}
	return newEntry(kind, id, meta, blob), nil
}

// copied waits until copies are written. It reports whether they were.
func (k *keeper) copied(group []*entry, bytes int64) bool {
	for _, e := range group {
		if <-e.done; e.err != nil {
			return false
		}
	}
	k.metrics.copied.Add(float64(bytes))
	return true
}

// unreadable tells that a record is lost, and forgets it.
func (k *keeper) unreadable(p place, id uint64, err error) {
	if k.ledger.lost(id, p, err) {
		k.damage.add(Damage{File: filepath.Base(p.seg.path), Offset: p.offset, Bytes: p.size, First: id, Last: id,
			Reason: fmt.Sprintf("record cannot be moved: %v", err)})
	}
}
