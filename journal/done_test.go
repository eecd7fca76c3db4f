package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// cut cuts the first segment in a directory after its first record, so that later records
// that call others done are gone.
func cut(t *testing.T, dir string) {
	t.Helper()
	name := filepath.Join(dir, segmentName(1))
	if err := os.Truncate(name, ends(t, name)[1]); err != nil {
		t.Fatal(err)
	}
}

// TestACutSegmentBringsNothingBack cuts a segment by hand after records were called done. What was done stays done, also in the
// process after the next, and the cut is told.
func TestACutSegmentBringsNothingBack(t *testing.T) {
	t.Parallel()
	for _, closed := range []bool{true, false} {
		dir := t.TempDir()
		j := mustOpen(t, dir, nil)
		first, second := mustAppend(t, j, "", "first"), mustAppend(t, j, "", "second")
		j.End(first, second)
		waitIdle(t, j)
		third := mustAppend(t, j, "", "third")
		if closed {
			j.End(third)
			mustClose(t, j)
		} else { // as a kill leaves it, a second later
			for v, _ := readState(osFiles{}, dir); v.done < second; v, _ = readState(osFiles{}, dir) {
				time.Sleep(10 * time.Millisecond)
			}
			dir = copyDir(t, dir)
		}
		cut(t, dir)
		var more []string
		for i := range 3 {
			j := mustOpen(t, dir, nil)
			if got := undone(t, j); !slices.Equal(got, more) || i == 0 && len(j.Damage()) == 0 {
				t.Errorf("closed %v: found %q, want %q; told %v", closed, got, more, j.Damage())
			}
			id := mustAppend(t, j, "", "more")
			if more = append(more, fmt.Sprintf("%d=:more", id)); id <= third {
				t.Errorf("closed %v: record %d comes after record %d", closed, id, third)
			}
			mustClose(t, j)
		}
	}
}

// TestARecordThatIsLostIsNotDone reads a record that is damaged, and mends the file before the next process reads it.
func TestARecordThatIsLostIsNotDone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := mustOpen(t, dir, nil)
	mustAppend(t, j, "", "lost for a while")
	j.End(mustAppend(t, j, "", "done"))
	if err := j.Sync(t.Context()); err != nil { // nothing writes to the file any more
		t.Fatal(err)
	}
	name := filepath.Join(dir, segmentName(1))
	whole := readFile(t, name)
	whole[headerSize+headSize] ^= 1
	writeFile(t, name, whole)
	if _, _, _, err := j.Read(1); !isCorrupt(err) {
		t.Fatalf("got error %v", err)
	}
	mustClose(t, j)

	j = mustOpen(t, dir, nil)
	if records := undone(t, j); len(records) > 0 || len(j.Damage()) == 0 {
		t.Errorf("found %q, told %v", records, j.Damage())
	}
	mustClose(t, j)
	b := readFile(t, name)
	b[headerSize+headSize] ^= 1
	writeFile(t, name, b)
	if records, _ := reopen(t, dir); !slices.Contains(records, "1=:lost for a while") {
		t.Errorf("found %q in the file that was mended", records)
	}
}

// TestDoneOfAnEarlierVersion has a program that knows only the first 40 bytes of STATE rewrite them.
func TestDoneOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	v := stateValues{oldest: 1, newest: 1, acked: 5, done: 5}
	name := filepath.Join(dir, stateName)
	writeFile(t, name, v.bytes())
	if got, ok := readState(osFiles{}, dir); !ok || got != v {
		t.Fatalf("got %+v", got)
	}
	v.acked = 7
	writeFile(t, name, append(v.bytes()[:stateSize], stateValues{oldest: 1, newest: 1, acked: 5, done: 5}.bytes()[stateSize:]...))
	v.done = 0
	if got, ok := readState(osFiles{}, dir); !ok || got != v {
		t.Errorf("got %+v, want %+v", got, v)
	}
}

// TestLowestRecord looks for the first record that is not done a few records at a time.
func TestLowestRecord(t *testing.T) {
	t.Parallel()
	j := mustOpen(t, t.TempDir(), nil)
	var ids []uint64
	for range 10 {
		ids = append(ids, mustAppend(t, j, "", "x"))
	}
	steps := []struct {
		end  []uint64
		most int
		want uint64
	}{{nil, 5, 0}, {ids[1:3], 5, 0}, {ids[:1], 2, 2}, {nil, 5, 3}, {ids[3:9], 3, 6}, {nil, 100, 9}}
	for _, s := range steps {
		j.End(s.end...)
		if got := j.ledger.done(s.most); got != s.want {
			t.Errorf("after the end of %v: all are done up to %d, want %d", s.end, got, s.want)
		}
	}
	mustClose(t, j)
}

// TestSyncedEndsSurviveAKill calls records done, and copies the journal as a kill leaves it when Sync has returned. They stay done. A journal
// that cannot write says so.
func TestSyncedEndsSurviveAKill(t *testing.T) {
	t.Parallel()
	for _, mode := range []Sync{Always, Interval, Off} {
		dir := t.TempDir()
		j := mustOpen(t, dir, &Options{Sync: mode})
		for i := range 50 {
			first, second := mustAppend(t, j, "", "first"), mustAppend(t, j, "", "second")
			j.End(first)
			j.End(second)
			if err := j.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			next := mustOpen(t, copyDir(t, dir), nil)
			if got := undone(t, next); len(got) > 0 {
				t.Errorf("%v, round %d: %q are undone", mode, i, got)
			}
			mustClose(t, next)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := j.Sync(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that has ended: %v", err)
		}
		mustClose(t, j)
		if err := j.Sync(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		reader := mustOpen(t, dir, &Options{ReadOnly: true})
		if err := reader.Sync(t.Context()); !errors.Is(err, ErrReadOnly) {
			t.Errorf("read only: %v", err)
		}
		mustClose(t, reader)
	}
}

// TestASyncAfterAnEndIsLost has the disk lose the record that says what is done. No Sync says that it survives.
func TestASyncAfterAnEndIsLost(t *testing.T) {
	t.Parallel()
	files := &faulty{}
	j := mustOpen(t, t.TempDir(), &Options{files: files, pause: time.Nanosecond})
	id := mustAppend(t, j, "", "done")
	next := mustAppend(t, j, "", "not done")
	j.End(id)
	files.set(failing(errDisk, "0000000000000001"+segmentSuffix, "sync", "read"))
	if err := j.Sync(t.Context()); err == nil {
		t.Error("the record of what is done is lost, and Sync returns nil")
	}
	files.set(nil)
	if err := j.Sync(t.Context()); err == nil {
		t.Error("a later Sync returns nil")
	}
	mustAppend(t, j, "", "after")
	if _, _, v, err := j.Read(next); err != nil || string(v) != "not done" {
		t.Errorf("the journal holds %q, %v", v, err)
	}
	_ = j.Close()
}

// TestASyncThatEndsReservesNothing ends the contexts of many Syncs. The journal's bound stays what it was.
func TestASyncThatEndsReservesNothing(t *testing.T) {
	t.Parallel()
	j := mustOpen(t, t.TempDir(), nil)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 1000 {
		_ = j.Sync(ended)
	}
	j.ledger.mu.Lock()
	reserved := j.ledger.reserved
	j.ledger.mu.Unlock()
	if reserved != 0 {
		t.Errorf("%d bytes are reserved", reserved)
	}
	mustClose(t, j)
}

// TestARecordThatIsNotReadWhileItMoves has a sync fail, so that records move to another file, and one of the reads too. Sync
// says so, or has moved them all. The next one succeeds, and nothing is lost.
func TestARecordThatIsNotReadWhileItMoves(t *testing.T) {
	t.Parallel()
	for n := range 4 {
		files, dir := &faulty{}, t.TempDir()
		j := mustOpen(t, dir, &Options{files: files, pause: time.Nanosecond})
		id := mustAppend(t, j, "", "done")
		mustAppend(t, j, "", "not done")
		j.End(id)
		reads := 0
		files.set(func(op, name string) error {
			switch {
			case !strings.Contains(name, "0000000000000001"+segmentSuffix):
			case op == "sync":
				return errDisk
			case op == "read":
				if reads++; reads == n {
					return errDisk
				}
			}
			return nil
		})
		first := j.Sync(t.Context())
		if files.set(nil); first != nil {
			if err := j.Sync(t.Context()); err != nil {
				t.Errorf("read %d fails: the next sync: %v", n, err)
			}
		} else if n == 2 || n == 3 {
			t.Errorf("read %d fails, and Sync does not", n)
		}
		again := mustOpen(t, files.crash(t, dir), nil)
		if got := undone(t, again); !slices.Equal(got, []string{"2=:not done"}) || len(j.Damage())+len(again.Damage()) > 0 {
			t.Errorf("read %d fails: %q after a crash, damage %v and %v", n, got, j.Damage(), again.Damage())
		}
	}
}
