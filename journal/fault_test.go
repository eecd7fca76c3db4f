package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// faults are what TestFaultsOfWriting injects.
var faults = []struct {
	name    string
	fail    func(op, name string) error
	refused bool // Append fails
}{
	{"full disk", failing(syscall.ENOSPC, segmentSuffix, "write", "create"), true},
	{"write fails", failing(errDisk, segmentSuffix, "write"), true},
	{"write and truncate fail", failing(errDisk, segmentSuffix, "write", "truncate"), true},
	{"sync fails in one file", failing(errDisk, "0000000000000001"+segmentSuffix, "sync"), false},
	{"sync and truncate fail in one file", failing(errDisk, "0000000000000001"+segmentSuffix, "sync", "truncate"), false},
	{"sync fails in all files", failing(errDisk, segmentSuffix, "sync"), true},
	{"sync fails and no new file can be made", failing(errDisk, segmentSuffix, "sync", "create"), true},
	{"sync fails and no rename", failing(errDisk, segmentSuffix, "sync", "rename"), true},
	{"sync fails, of the directory too", func(op, name string) error {
		if op == "syncdir" || op == "sync" && strings.Contains(name, segmentSuffix) {
			return errDisk
		}
		return nil
	}, true},
	{"sync fails and the file cannot be read", failing(errDisk, segmentSuffix, "sync", "read"), true},
	{"read-only", failing(syscall.EROFS, "", "write", "create", "rename", "remove", "truncate"), true},
	{"state cannot be written", failing(errDisk, stateName, "write"), false},
}

// TestFaultsOfWriting injects one fault after the other. An Append that has
// returned without an error is there afterwards, in this process and after a
// crash, and one that failed is not. Each fault is counted.
func TestFaultsOfWriting(t *testing.T) {
	t.Parallel()
	for _, c := range faults {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			files := &faulty{}
			dir := t.TempDir()
			j := mustOpen(t, dir, &Options{files: files, pause: time.Nanosecond})
			want := []string{record(mustAppend(t, j, "m", "before"), "before")}
			files.set(c.fail)
			for i := range 3 {
				blob := fmt.Sprint("during", i)
				id, err := j.Append(context.Background(), 1, []byte("m"), []byte(blob))
				if (err != nil) != c.refused {
					t.Errorf("during the fault: %v", err)
				}
				if err == nil {
					want = append(want, record(id, blob))
				}
			}
			if testutil.ToFloat64(j.metrics.faults) == 0 {
				t.Error("no fault was counted")
			}
			check := func(when string, j *Journal) {
				t.Helper()
				if got := undone(t, j); !slices.Equal(got, want) {
					t.Errorf("%s: %q, want %q", when, got, want)
				}
				for _, d := range j.Damage() {
					if !d.Torn && !strings.Contains(d.Reason, "failed sync") {
						t.Errorf("%s: %v", when, d)
					}
				}
			}
			check("killed during the fault", mustOpen(t, files.crash(t, dir), nil))
			files.set(nil)
			check("afterwards", j)
			want = append(want, record(mustAppend(t, j, "m", "after"), "after"))
			check("and after more", j)
			if n := j.ledger.waiting(); n != 0 {
				t.Errorf("%d bytes are still reserved", n)
			}
			mustClose(t, j)
			check("opened again", mustOpen(t, dir, nil))
		})
	}
}

func record(id uint64, blob string) string { return fmt.Sprintf("%d=m:%s", id, blob) }

// TestFailedSyncLosesNothingThatWasAcknowledged is fsyncgate in mode Interval:
// records that were acknowledged before the sync that failed are written to a
// new file, also when that succeeds only later.
func TestFailedSyncLosesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	for _, later := range []bool{false, true} {
		files := &faulty{}
		dir := t.TempDir()
		j := mustOpen(t, dir, &Options{Sync: Interval, Every: time.Hour, files: files, pause: time.Nanosecond})
		var want []string
		for i := range 10 {
			blob := fmt.Sprint(i)
			want = append(want, record(mustAppend(t, j, "m", blob), blob))
		}
		fault := failing(errDisk, "0000000000000001"+segmentSuffix, "sync")
		if later {
			fault = failing(errDisk, segmentSuffix, "sync")
		}
		files.set(fault)
		err := j.Close()
		if later != (err != nil) {
			t.Errorf("Close: %v", err)
		}
		names := logs(t, dir)
		if later {
			names = names[:1] // the new file could not be kept
		}
		if !later && len(readFile(t, names[0])) != headerSize {
			t.Errorf("the file whose sync failed still has records")
		}
		again := mustOpen(t, dir, nil)
		if got := undone(t, again); !slices.Equal(got, want) || len(again.Damage()) > 0 {
			t.Errorf("got %q and %v, want %q", got, again.Damage(), want)
		}
	}
}

// TestFaultyDiskIsLeftAlone looks at what a broken disk gets to do: no files
// pile up, and Append fails at once until the pause is over.
func TestFaultyDiskIsLeftAlone(t *testing.T) {
	t.Parallel()
	files := &faulty{}
	files.set(failing(syscall.ENOSPC, segmentSuffix, "write"))
	dir := t.TempDir()
	j := mustOpen(t, dir, &Options{files: files, pause: time.Hour})
	for range 50 {
		if _, err := j.Append(context.Background(), 1, nil, nil); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("got %v", err)
		}
	}
	if n := len(logs(t, dir)); n > 0 {
		t.Errorf("%d files were left", n)
	}
	creates := 0
	for _, call := range files.calls() {
		if strings.HasPrefix(call, "create 0") {
			creates++
		}
	}
	if creates != 1 {
		t.Errorf("%d attempts during the pause", creates)
	}
}

// TestOpenOnAFullDisk opens a journal for which the disk has no room: what is
// in it can be read and done.
func TestOpenOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir, all := small(t)
	files := &faulty{}
	files.set(failing(syscall.ENOSPC, segmentSuffix, "write", "create"))
	j := mustOpen(t, dir, &Options{files: files, pause: time.Nanosecond})
	if got := undone(t, j); !slices.Equal(got, all) {
		t.Errorf("got %q, want %q", got, all)
	}
	j.End(1, 2, 3)
	if got := undone(t, j); !slices.Equal(got, all[3:]) {
		t.Errorf("got %q, want %q", got, all[3:])
	}
	waitIdle(t, j) // removes the first segment, without a record that says so
	if names := logs(t, dir); len(names) != 1 {
		t.Errorf("left: %q", names)
	}
	files.set(nil)
	mustAppend(t, j, "m", "b")
	j.End(4)
	mustClose(t, j)
	if got := undone(t, mustOpen(t, dir, nil)); len(got) != 3 || got[0] != all[4] {
		t.Errorf("afterwards: %q", got)
	}
}

// TestUnreadableBlock has a block of the file that gives EIO: the records of
// other blocks are read, and the reason is told.
func TestUnreadableBlock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := mustOpen(t, dir, nil)
	var want []string
	for i := range 30 {
		blob := strings.Repeat(fmt.Sprint(i%10), 1000)
		want = append(want, record(mustAppend(t, j, "m", blob), blob))
	}
	mustClose(t, j)
	j = mustOpen(t, dir, &Options{files: &badBlock{at: 3 * blockSize}})
	first := slices.Index(want, undone(t, j)[11]) // records 11 to 15 touch the block
	damage := j.Damage()
	if got := undone(t, j); len(got) != 25 || !slices.Equal(got[:11], want[:11]) || !slices.Equal(got[11:], want[first:]) {
		t.Errorf("got %d records", len(got))
	}
	if len(damage) != 1 || damage[0].First != 12 || damage[0].Last != 16 || !strings.Contains(damage[0].Reason, errDisk.Error()) {
		t.Errorf("damage: %v", damage)
	}
}

// badBlock are files in which one block cannot be read.
type badBlock struct {
	osFiles
	at int64
}

type badFile struct {
	file
	at int64
}

func (f *badBlock) Open(name string, flag int) (file, error) {
	inner, err := f.osFiles.Open(name, flag)
	return badFile{inner, f.at}, err
}

func (f badFile) ReadAt(b []byte, at int64) (int, error) {
	if at < f.at+blockSize && at+int64(len(b)) > f.at {
		return 0, errDisk
	}
	return f.file.ReadAt(b, at)
}

// TestRandomFaults lets 16 writers meet faults of every call, in all modes.
// Whatever Append has acknowledged and nobody has called done is there.
func TestRandomFaults(t *testing.T) {
	t.Parallel()
	for _, mode := range []Sync{Always, Interval, Off} {
		for seed := range uint64(8) {
			t.Run(fmt.Sprint(mode, "/", seed), func(t *testing.T) {
				t.Parallel()
				randomFaults(t, mode, seed)
			})
		}
	}
}

func randomFaults(t *testing.T, mode Sync, seed uint64) {
	files := &faulty{}
	dir := t.TempDir()
	opts := &Options{Sync: mode, Every: time.Millisecond, SegmentBytes: 2000, MaxBytes: 1 << 20, files: files, pause: time.Nanosecond}
	j := mustOpen(t, dir, opts)
	dice := newDice(seed)
	files.set(func(op, name string) error {
		if op != "read" && dice.one(20) {
			return errDisk
		}
		return nil
	})
	var mu sync.Mutex
	want := make(map[uint64]string)
	var g sync.WaitGroup
	for w := range 16 {
		g.Go(func() {
			for i := range 60 {
				blob := strings.Repeat(fmt.Sprint(w, ".", i, " "), i)
				id, err := j.Append(context.Background(), 1, []byte("m"), []byte(blob))
				if err != nil {
					continue
				}
				if dice.one(2) {
					j.End(id)
					continue
				}
				mu.Lock()
				want[id] = record(id, blob)
				mu.Unlock()
			}
		})
	}
	g.Wait()
	check := func(when string, j *Journal, exact bool) {
		t.Helper()
		got := make(map[uint64]string)
		for _, r := range undone(t, j) {
			var id uint64
			fmt.Sscanf(r, "%d=", &id)
			got[id] = r
		}
		for id, r := range want {
			if got[id] != r {
				t.Errorf("%s: record %d is %.30q, want %.30q", when, id, got[id], r)
			}
		}
		if exact && len(got) != len(want) {
			t.Errorf("%s: %d records, want %d", when, len(got), len(want))
		}
	}
	check("killed", mustOpen(t, files.crash(t, dir), nil), false)
	files.set(nil)
	check("afterwards", j, true)
	mustAppend(t, j, "m", "last")
	mustClose(t, j)
	check("opened again", mustOpen(t, dir, nil), false)
}

// TestOpenOnAReadOnlyDisk reads a journal whose disk takes no writes, and one that
// there never was.
func TestOpenOnAReadOnlyDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := mustOpen(t, dir, nil)
	id, err := j.Append(t.Context(), 1, []byte("meta"), []byte("blob"))
	if err := errors.Join(err, j.Close()); err != nil {
		t.Fatal(err)
	}
	disk := &faulty{}
	disk.set(func(op, name string) error {
		if op == "open" || op == "names" || op == "read" {
			return nil
		}
		return &os.PathError{Op: op, Path: name, Err: syscall.EROFS}
	})
	for name, want := range map[string]int{dir: 1, dir + "/none": 0} {
		j, err := Open(name, &Options{files: readOnlyDisk{disk}})
		if err != nil {
			t.Fatal(err)
		}
		if s := j.Stats(); s.Live != want || !errors.Is(s.ReadOnly, ErrReadOnly) || errors.Is(s.ReadOnly, ErrReopen) {
			t.Errorf("%+v, want %d records to read", s, want)
		}
		if _, _, blob, err := j.Read(id); want > 0 && (err != nil || string(blob) != "blob") {
			t.Errorf("read %q, %v", blob, err)
		}
		if _, err := j.Append(t.Context(), 1, nil, nil); !errors.Is(err, ErrReadOnly) || !errors.Is(err, syscall.EROFS) {
			t.Errorf("append: %v", err)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
}
