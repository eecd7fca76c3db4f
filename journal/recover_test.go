package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// small is a journal of two segments with three records each, and its records.
func small(t *testing.T) (dir string, records []string) {
	t.Helper()
	dir = t.TempDir()
	for s := range 2 {
		j := mustOpen(t, dir, nil)
		for i := range 3 {
			blob := strings.Repeat("b", 5*i)
			id := mustAppend(t, j, "meta", blob)
			records = append(records, fmt.Sprintf("%d=meta:%s", id, blob))
		}
		if mustClose(t, j); len(logs(t, dir)) != s+1 {
			t.Fatalf("%d files after %d rounds", len(logs(t, dir)), s+1)
		}
	}
	return dir, records
}

// reopen opens a damaged journal and returns what is undone and the damage. It
// also checks that the journal works on, and that the next Open finds the same.
func reopen(t *testing.T, dir string) (records []string, damage []Damage) {
	t.Helper()
	j := mustOpen(t, dir, &Options{Sync: Off})
	records, damage = undone(t, j), j.Damage()
	id := mustAppend(t, j, "more", "")
	mustClose(t, j)
	again := mustOpen(t, dir, &Options{Sync: Off})
	if got, want := undone(t, again), append(slices.Clone(records), fmt.Sprintf("%d=more:", id)); !slices.Equal(got, want) {
		t.Errorf("opened again: %q, want %q", got, want)
	}
	for _, d := range again.Damage() {
		if d.Torn {
			t.Errorf("a torn end was told again: %v", d)
		}
	}
	mustClose(t, again)
	return records, damage
}

// ends returns where a segment's records begin and end.
func ends(t *testing.T, name string) (offsets []int64) {
	t.Helper()
	b := readFile(t, name)
	h, err := parseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	s := newScanner(strings.NewReader(string(b)), int64(len(b)), h.mark)
	for {
		_, offset, _, ok := s.next()
		offsets = append(offsets, offset)
		if !ok {
			return offsets
		}
	}
}

// TestEveryByteFlipped flips each byte of both segments: at most the record
// that holds the byte is missing, all others are there, and it is told. Bytes
// of an acknowledged record are never called a torn end.
func TestEveryByteFlipped(t *testing.T) {
	t.Parallel()
	pristine, all := small(t)
	for n, name := range logs(t, pristine) {
		offsets := ends(t, name)
		for at := range readFile(t, name) {
			dir := copyDir(t, pristine)
			file := filepath.Join(dir, filepath.Base(name))
			b := readFile(t, file)
			b[at] ^= 0x40
			writeFile(t, file, b)
			want := slices.Clone(all)
			hit, exact := slices.BinarySearch(offsets, int64(at))
			if !exact {
				hit--
			}
			if hit >= 0 {
				want = slices.Delete(want, 3*n+hit, 3*n+hit+1)
			}
			got, damage := reopen(t, dir)
			if !slices.Equal(got, want) || len(damage) != 1 || damage[0].Torn || damage[0].File != filepath.Base(name) {
				t.Fatalf("%s, byte %d: %q and %v, want %q", filepath.Base(name), at, got, damage, want)
			}
			if d := damage[0]; hit >= 0 && (d.First != uint64(3*n+hit+1) || d.Last != d.First ||
				d.Offset != offsets[hit] || d.Bytes != offsets[hit+1]-offsets[hit]) {
				t.Fatalf("%s, byte %d: damage is %+v", filepath.Base(name), at, d)
			}
		}
	}
}

// TestEveryCut cuts each segment at each length: all records that are whole
// before the cut are there, and so are all records of the other segment. The cut is reported, even between two records.
func TestEveryCut(t *testing.T) {
	t.Parallel()
	pristine, all := small(t)
	for n, name := range logs(t, pristine) {
		offsets := ends(t, name)
		for length := range offsets[3] {
			dir := copyDir(t, pristine)
			if err := os.Truncate(filepath.Join(dir, filepath.Base(name)), length); err != nil {
				t.Fatal(err)
			}
			whole, exact := slices.BinarySearch(offsets, length)
			if !exact {
				whole--
			}
			whole = max(whole, 0)
			want := slices.Delete(slices.Clone(all), 3*n+whole, 3*n+3)
			got, damage := reopen(t, dir)
			if !slices.Equal(got, want) || len(damage) == 0 {
				t.Fatalf("%s cut to %d: %q and %v, want %q", filepath.Base(name), length, got, damage, want)
			}
			d := damage[len(damage)-1]
			if d.Torn || d.Last != uint64(3*n+3) || length >= headerSize && d.First != uint64(3*n+whole+1) {
				t.Fatalf("%s cut to %d: damage is %+v", filepath.Base(name), length, d)
			}
		}
	}
}

// TestEveryTornEnd leaves each part of a record behind the acknowledged ones,
// as a crash does: nothing is missing, and it is called torn.
func TestEveryTornEnd(t *testing.T) {
	t.Parallel()
	pristine, all := small(t)
	last := logs(t, pristine)[1]
	h, err := parseHeader(readFile(t, last))
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("never acknowledged")
	record := append(head{seq: 7, id: 7, kind: 1, meta: uint32(len(body)), body: checksum(body, nil)}.append(nil, h.mark), body...)
	for n := 1; n <= len(record); n++ {
		dir := copyDir(t, pristine)
		file := filepath.Join(dir, filepath.Base(last))
		b := readFile(t, file)
		writeFile(t, file, append(b, record[:n]...))
		got, damage := reopen(t, dir)
		if n == len(record) { // whole: it may be there, and it is
			if want := append(slices.Clone(all), "7="+string(body)+":"); !slices.Equal(got, want) || len(damage) > 0 {
				t.Errorf("whole: %q and %v, want %q", got, damage, want)
			}
			continue
		}
		if !slices.Equal(got, all) || len(damage) != 1 || !damage[0].Torn || damage[0].Offset != int64(len(b)) || damage[0].Bytes != int64(n) {
			t.Fatalf("%d bytes of a record: %q and %v, want %q", n, got, damage, all)
		}
	}
}

func TestEveryByteOfStateFlipped(t *testing.T) {
	t.Parallel()
	pristine, all := small(t)
	for at := range stateSize + 1 {
		dir := copyDir(t, pristine)
		file := filepath.Join(dir, stateName)
		b := readFile(t, file)
		if at == stateSize {
			b = b[:at/2]
		} else {
			b[at] ^= 1
		}
		writeFile(t, file, b)
		if got, damage := reopen(t, dir); !slices.Equal(got, all) || len(damage) != 1 || damage[0].File != stateName {
			t.Errorf("byte %d: %q and %v", at, got, damage)
		}
	}
}

// TestSegmentsMissingOrMisplaced changes whole files of a journal with four.
func TestSegmentsMissingOrMisplaced(t *testing.T) {
	t.Parallel()
	pristine := t.TempDir()
	var all []string
	for i := range 4 {
		j := mustOpen(t, pristine, nil)
		all = append(all, fmt.Sprintf("%d=m:%d", mustAppend(t, j, "m", fmt.Sprint(i)), i))
		mustClose(t, j)
	}
	name := func(id int) string { return segmentName(uint64(id)) }
	remove := func(ids ...int) func(dir string) error {
		return func(dir string) (err error) {
			for _, id := range ids {
				err = errors.Join(err, os.Remove(filepath.Join(dir, name(id))))
			}
			return err
		}
	}
	for _, c := range []struct {
		what   string
		change func(dir string) error
		want   []string
		damage []string
	}{
		{"nothing", remove(), all, nil},
		{"the first is missing", remove(1), all[1:], []string{"0000000000000001.log 0-0"}},
		{"the second is missing", remove(2), slices.Delete(slices.Clone(all), 1, 2), []string{"0000000000000002.log 2-2"}},
		{"two are missing", remove(2, 3), slices.Delete(slices.Clone(all), 1, 3), []string{"0000000000000002.log 2-3"}},
		{"the last is missing", remove(4), all[:3], []string{"0000000000000004.log 4-4"}},
		{"all are missing", remove(1, 2, 3, 4), nil, []string{"0000000000000001.log 1-4"}},
		{"two have changed names", func(dir string) error {
			a, b := filepath.Join(dir, name(2)), filepath.Join(dir, name(3))
			return errors.Join(os.Rename(a, a+"x"), os.Rename(b, a), os.Rename(a+"x", b))
		}, all, []string{"0000000000000002.log 0-0", "0000000000000003.log 0-0"}},
		{"one is there twice", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, name(5)), readFile(t, filepath.Join(dir, name(2))), 0o600)
		}, all, []string{"0000000000000005.log 0-0", "0000000000000005.log 0-0"}},
		{"a rename was interrupted", func(dir string) error {
			return os.Rename(filepath.Join(dir, name(2)), filepath.Join(dir, name(2)+movingSuffix))
		}, all, nil},
		{"one that was removed is there again", func(dir string) error {
			s := &state{files: osFiles{}, name: filepath.Join(dir, stateName), faults: func(err error) error { return err }}
			s.set(true, func(v *stateValues) { *v = stateValues{oldest: 2, newest: 4, acked: 4} })
			s.close()
			return nil
		}, all[1:], nil},
		{"others' files", func(dir string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, "1.log"), nil, 0o600), os.WriteFile(filepath.Join(dir, "notes"), nil, 0o600),
				os.WriteFile(filepath.Join(dir, name(5)+newSuffix), []byte("half"), 0o600))
		}, all, nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			testChangedFiles(t, pristine, c.change, c.want, c.damage)
		})
	}
}

func testChangedFiles(t *testing.T, pristine string, change func(dir string) error, want, told []string) {
	dir := copyDir(t, pristine)
	if err := change(dir); err != nil {
		t.Fatal(err)
	}
	got, damage := reopen(t, dir)
	var said []string
	for _, d := range damage {
		said = append(said, fmt.Sprintf("%s %d-%d", d.File, d.First, d.Last))
	}
	if !slices.Equal(got, want) || !slices.Equal(said, told) {
		t.Errorf("got %q and %v, want %q and %q", got, damage, want, told)
	}
}

// TestAWrongNameThatStays gives the newest segment the name of the next one, or leaves a copy
// there, and opens the journal on a disk that renames no file. A new segment would take
// the file's place, so Open fails, and works when the disk does.
func TestAWrongNameThatStays(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(from, to string) error{
		"renamed": os.Rename,
		"copied":  func(from, to string) error { return os.WriteFile(to, readFile(t, from), 0o600) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir, disk := t.TempDir(), &faulty{}
			j := mustOpen(t, dir, nil)
			mustAppend(t, j, "m", "first")
			mustClose(t, j)
			if err := change(filepath.Join(dir, segmentName(1)), filepath.Join(dir, segmentName(2))); err != nil {
				t.Fatal(err)
			}
			disk.set(failing(errDisk, segmentName(2), "rename"))
			if j, err := Open(dir, &Options{files: disk}); !errors.Is(err, errDisk) {
				t.Errorf("opened: %v", err)
				disk.set(nil)
				mustAppend(t, j, "m", "second")
				mustClose(t, j)
			}
			if got, _ := reopen(t, dir); !slices.Equal(got, []string{"1=m:first"}) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestDamagedSegmentIsKeptAside(t *testing.T) {
	t.Parallel()
	dir, _ := small(t)
	file := logs(t, dir)[0]
	b := readFile(t, file)
	b[len(b)-1] ^= 1
	writeFile(t, file, b)
	j := mustOpen(t, dir, nil)
	j.End(1, 2, 3, 4, 5, 6)
	mustAppend(t, j, "m", "b")
	waitIdle(t, j)
	aside, err := filepath.Glob(file + asideInfix + "*")
	if err != nil || len(aside) != 1 || string(readFile(t, aside[0])) != string(b) {
		t.Fatalf("kept aside: %q, %v", aside, err)
	}
	if names := logs(t, dir); len(names) != 1 {
		t.Errorf("left: %q", names)
	}
	mustClose(t, j)
	if again := mustOpen(t, dir, nil); len(again.Damage()) > 0 {
		t.Errorf("told again: %v", again.Damage())
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	dir, _ := small(t)
	file := logs(t, dir)[1]
	b := readFile(t, file)
	copy(b, newerHeader(b))
	writeFile(t, file, b)
	_, err := Open(dir, nil)
	if newer, ok := errors.AsType[*VersionError](err); !ok || newer.Version != 2 {
		t.Errorf("got %v", err)
	}
	if string(readFile(t, file)) != string(b) {
		t.Error("the file was changed")
	}
}
