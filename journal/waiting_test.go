package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTheDiskTakesWritesAgain opens a journal on a disk that is full or read-only, and
// then makes the disk take writes. A record that End named before stays done after another start.
func TestTheDiskTakesWritesAgain(t *testing.T) {
	t.Parallel()
	for _, fault := range []syscall.Errno{syscall.EROFS, syscall.ENOSPC} {
		for _, exists := range []bool{true, false} {
			dir, kept := filepath.Join(t.TempDir(), "journal"), []uint64{}
			if exists {
				j := mustOpen(t, dir, nil)
				kept = append(kept, mustAppend(t, j, "done", "later"), mustAppend(t, j, "stays", "here"))
				mustClose(t, j)
			}
			disk := &faulty{}
			disk.set(func(op, name string) error {
				if op == "open" || op == "names" || op == "read" {
					return nil
				}
				return &os.PathError{Op: op, Path: name, Err: fault}
			})
			j := mustOpen(t, dir, &Options{files: readOnlyDisk{disk}, pause: time.Millisecond})
			if exists {
				j.End(kept[0])
			}
			if _, err := j.Append(t.Context(), 1, nil, []byte("too early")); !errors.Is(err, fault) {
				t.Errorf("append: %v", err)
			}
			soon, cancel := context.WithTimeout(t.Context(), time.Minute)
			if err := j.Sync(soon); !errors.Is(err, fault) {
				t.Errorf("sync: %v", err)
			}
			cancel()
			disk.set(nil)
			for j.Stats().ReadOnly != nil {
				time.Sleep(time.Millisecond)
			}
			mustAppend(t, j, "new", "one")
			_, err := Open(dir, nil)
			if _, locked := errors.AsType[*LockedError](err); !locked {
				t.Errorf("opened twice: %v", err)
			}
			mustClose(t, j)
			j = mustOpen(t, dir, nil)
			if s, want := j.Stats(), min(len(kept), 1)+1; s.Live != want || len(j.Damage()) > 0 {
				t.Errorf("%v: %+v, want %d records; damage %v", fault, s, want, j.Damage())
			}
			mustClose(t, j)
		}
	}
}

// TestWrittenMeanwhile has another process write to a journal that waits for its disk.
// The journal then stays read-only.
func TestWrittenMeanwhile(t *testing.T) {
	t.Parallel()
	dir, disk := filepath.Join(t.TempDir(), "journal"), &faulty{}
	disk.set(failing(syscall.EROFS, "", "create", "mkdir"))
	j := mustOpen(t, dir, &Options{files: readOnlyDisk{disk}, pause: time.Millisecond})
	other := mustOpen(t, dir, nil)
	mustAppend(t, other, "m", "b")
	disk.set(nil)
	refused := func() string {
		_, err := j.Append(t.Context(), 1, nil, nil)
		return err.Error()
	}
	for !strings.Contains(refused(), "another process uses") {
		time.Sleep(time.Millisecond)
	}
	mustClose(t, other)
	for !strings.Contains(refused(), "has written to the journal meanwhile") {
		time.Sleep(time.Millisecond)
	}
	if why := j.Stats().ReadOnly; !errors.Is(why, ErrReopen) {
		t.Errorf("%v does not say that the journal must be opened again", why)
	}
	mustClose(t, j)
}

// TestAWrongNameWhileTheDiskWaits gives the newest segment the name of the next one and
// opens the journal on a read-only disk. When the disk takes writes, a new segment must
// not take the file's place. The next Open renames the file.
func TestAWrongNameWhileTheDiskWaits(t *testing.T) {
	t.Parallel()
	dir, disk := t.TempDir(), &faulty{}
	for _, blob := range []string{"first", "second"} {
		j := mustOpen(t, dir, nil)
		mustAppend(t, j, "m", blob)
		mustClose(t, j)
	}
	if err := os.Rename(filepath.Join(dir, segmentName(2)), filepath.Join(dir, segmentName(3))); err != nil {
		t.Fatal(err)
	}
	disk.set(failing(syscall.EROFS, "", "create", "mkdir"))
	j := mustOpen(t, dir, &Options{files: readOnlyDisk{disk}, pause: time.Millisecond})
	for _, takes := range []bool{false, true} {
		if takes {
			disk.set(nil)
			time.Sleep(5 * time.Millisecond)
		}
		_, err := j.Append(t.Context(), 1, []byte("m"), []byte("third"))
		if why := j.Stats().ReadOnly; !errors.Is(err, ErrReopen) || !errors.Is(why, ErrReopen) || strings.Contains(err.Error(), "until its disk") {
			t.Errorf("the disk takes writes: %v: append: %v, the journal: %v", takes, err, why)
		}
	}
	mustClose(t, j)
	j = mustOpen(t, dir, nil)
	mustAppend(t, j, "m", "last")
	mustClose(t, j)
	got, _ := reopen(t, dir)
	if want := []string{"1=m:first", "2=m:second", "3=m:last"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// readOnlyDisk refuses to make directories, and to take locks alone, when the disk fails.
type readOnlyDisk struct{ *faulty }

func (d readOnlyDisk) MkdirAll(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := d.check("mkdir", dir); err != nil {
		return err
	}
	return d.faulty.MkdirAll(dir)
}

func (d readOnlyDisk) Lock(name string, shared bool) (io.Closer, error) {
	if err := d.check("create", name); !shared && err != nil {
		return nil, err
	}
	return d.faulty.Lock(name, shared)
}

// TestFilesThatAreRemoved removes the directory, or the file of one segment, of a journal that is open. What waits is still read and
// ended, and no further value is taken.
func TestFilesThatAreRemoved(t *testing.T) {
	t.Parallel()
	for _, all := range []bool{true, false} {
		dir := filepath.Join(t.TempDir(), "journal")
		j := mustOpen(t, dir, nil)
		id := mustAppend(t, j, "m", "before")
		j.keeper.look()
		if why := j.Stats().ReadOnly; why != nil {
			t.Fatal(why)
		}
		gone := filepath.Join(dir, segmentName(1))
		if all {
			gone = dir
		}
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
		j.keeper.look()
		if _, err := j.Append(t.Context(), 1, nil, []byte("after")); !errors.Is(err, ErrReadOnly) || !errors.Is(err, ErrReopen) {
			t.Errorf("append: %v", err)
		}
		if why := j.Stats().ReadOnly; !errors.Is(why, ErrReopen) || !errors.Is(why, ErrRemoved) {
			t.Errorf("the journal says %v", why)
		}
		if _, _, blob, err := j.Read(id); err != nil || string(blob) != "before" {
			t.Errorf("read %q, %v", blob, err)
		}
		if _, err := j.Append(t.Context(), 2, []byte("what lets others become done"), nil); err != nil {
			t.Errorf("a record without a blob: %v", err)
		}
		j.End(id)
		mustClose(t, j)
	}
}

// TestLessMaxBytesThanItHolds opens a journal with less room than its records take. It takes no value, but records that let
// others become done. Then it has room again.
func TestLessMaxBytesThanItHolds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := mustOpen(t, dir, &Options{MaxBytes: 1 << 20, SegmentBytes: 64 << 10})
	var ids []uint64
	for range 10 {
		ids = append(ids, mustAppend(t, j, "m", strings.Repeat("x", 50<<10)))
	}
	mustClose(t, j)
	j = mustOpen(t, dir, &Options{MaxBytes: 256 << 10, SegmentBytes: 64 << 10})
	if _, err := j.Append(t.Context(), 1, nil, []byte("a value")); !errors.As(err, new(*FullError)) {
		t.Errorf("append: %v", err)
	}
	for _, id := range ids {
		if _, err := j.Append(t.Context(), 2, binary.BigEndian.AppendUint64(nil, id), nil); err != nil {
			t.Fatalf("a record without a blob: %v", err)
		}
		j.End(id)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := j.Append(t.Context(), 1, nil, []byte("a value")); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	mustClose(t, j)
}
