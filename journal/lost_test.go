package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestADamagedRecordKeepsNoSegment damages a record of an open journal that is far from full. When the record was read, and all
// others are done, its file is kept aside, and the journal goes on with the segment that grows.
func TestADamagedRecordKeepsNoSegment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := mustOpen(t, dir, &Options{SegmentBytes: 2000, MaxBytes: 1 << 20})
	lost := mustAppend(t, j, "m", "lost")
	first := logs(t, dir)[0]
	b := readFile(t, first)
	b[headerSize+headSize+3] ^= 1
	writeFile(t, first, b)
	for range 40 {
		j.End(mustAppend(t, j, "m", strings.Repeat("x", 400)))
	}
	for range 2 {
		if _, _, _, err := j.Read(lost); !isCorrupt(err) {
			t.Errorf("read: %v", err)
		}
	}
	mustAppend(t, j, "m", "the next batch")
	waitIdle(t, j)
	if names := logs(t, dir); len(names) > 2 {
		t.Errorf("left: %q", names)
	}
	if d := j.Damage(); len(d) != 1 || d[0].First != lost || d[0].Torn {
		t.Errorf("damage: %v", d)
	}
	if aside, err := filepath.Glob(first + asideInfix + "*"); err != nil || len(aside) != 1 {
		t.Errorf("kept aside: %q, %v", aside, err)
	}
	j.End(lost)
	if _, _, _, err := j.Read(lost); isCorrupt(err) || err == nil {
		t.Errorf("read after End: %v", err)
	}
}

func isCorrupt(err error) bool {
	_, ok := errors.AsType[*CorruptError](err)
	return ok
}

// TestTheEndsOfOneCallStandTogether packs calls of End of all sizes into records.
func TestTheEndsOfOneCallStandTogether(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	var calls [][]uint64
	var next uint64
	for i := range 3000 {
		call := make([]uint64, 1+rng.IntN(7))
		if i == 1500 {
			call = make([]uint64, 3*endsAtATime+5)
		}
		for k := range call {
			next++
			call[k] = next
		}
		calls = append(calls, call)
	}
	var all []uint64
	in := make(map[uint64]int) // the record of each number
	entries := endEntries(calls)
	for n, e := range entries {
		before := len(all)
		if !parseEnds(e.meta, func(id uint64) { all, in[id] = append(all, id), n }) || len(all)-before > endsAtATime {
			t.Errorf("record %d has %d numbers", n, len(all)-before)
		}
	}
	if !slices.Equal(all, slices.Concat(calls...)) || len(entries) > len(all)/endsAtATime+3 {
		t.Errorf("%d records have %d numbers", len(entries), len(all))
	}
	for _, call := range calls {
		if len(call) <= endsAtATime && in[call[0]] != in[call[len(call)-1]] {
			t.Errorf("the call of %d stands in records %d and %d", call, in[call[0]], in[call[len(call)-1]])
		}
	}
}

// TestAKillWhileRecordsAreMovedOffABadFile has a sync fail in mode Interval, the new segment take only a part of the records,
// and a kill follow before that segment is removed.
func TestAKillWhileRecordsAreMovedOffABadFile(t *testing.T) {
	t.Parallel()
	files, dir, writes := &faulty{}, t.TempDir(), 0
	j := mustOpen(t, dir, &Options{Sync: Interval, Every: time.Hour, files: files, pause: time.Nanosecond})
	var want []string
	for i := range 10 {
		want = append(want, record(mustAppend(t, j, "m", fmt.Sprint(i)), fmt.Sprint(i)))
	}
	files.set(func(op, name string) error {
		second := strings.HasPrefix(name, segmentName(2))
		if op == "write" && second {
			writes++
		}
		if op == "sync" && strings.HasPrefix(name, segmentName(1)) || second && (op == "remove" || op == "write" && writes > 1) {
			return errDisk
		}
		return nil
	})
	if err := j.Close(); !errors.Is(err, errDisk) {
		t.Errorf("close: %v", err)
	}
	again := mustOpen(t, dir, nil)
	if got := undone(t, again); !slices.Equal(got, want) || len(again.Damage()) > 0 || writes != 2 {
		t.Errorf("got %q and %v after %d writes, want %q", got, again.Damage(), writes, want)
	}
}

// TestAListingThatLacksAFile has one listing of the directory lack the file of a segment, as that of a network's file system may.
func TestAListingThatLacksAFile(t *testing.T) {
	t.Parallel()
	files := &faulty{}
	j := mustOpen(t, t.TempDir(), &Options{files: files})
	mustAppend(t, j, "m", "before")
	files.set(failing(errHidden, segmentName(1), "list"))
	j.keeper.look()
	if _, err := j.Append(t.Context(), 1, nil, []byte("after")); err != nil {
		t.Error(err)
	}
}

// TestTheFirstBlockOfASegmentIsLost clears the first block of a segment: its header, and the first records. All others are there,
// also when a blob holds what looks like records of another segment.
func TestTheFirstBlockOfASegmentIsLost(t *testing.T) {
	t.Parallel()
	var forged []byte
	for seq := range uint64(20) {
		forged = append(head{seq: seq + 100, id: seq + 100, kind: 1, blob: 4, body: checksum(nil, []byte("evil"))}.append(forged, mark{1, 2}), "evil"...)
	}
	for _, last := range []int{0, 9} { // where records follow the forged ones, and where none do
		dir := t.TempDir()
		j := mustOpen(t, dir, nil)
		var want []string
		for i := range 10 {
			blob := fmt.Sprint(i, strings.Repeat("x", 1000))
			if i == last {
				blob += string(forged)
			}
			want = append(want, record(mustAppend(t, j, "m", blob), blob))
		}
		mustClose(t, j)
		name := logs(t, dir)[0]
		b := readFile(t, name)
		clear(b[:1500])
		writeFile(t, name, b)
		got, damage := reopen(t, dir)
		if !slices.Equal(got, want[len(want)-len(got):]) || len(got) < 8 || len(damage) == 0 {
			t.Errorf("got %d records: %.300q and %v", len(got), got, damage)
		}
	}
}

// TestTheNameOfANewDirectoryIsSynced opens a journal in a new directory, and again. The name of the directory is forced to the disk
// once, before a record is.
func TestTheNameOfANewDirectoryIsSynced(t *testing.T) {
	t.Parallel()
	parent, files := t.TempDir(), &faulty{}
	for range 2 {
		j := mustOpen(t, filepath.Join(parent, "journal"), &Options{files: files})
		mustAppend(t, j, "m", "b")
		mustClose(t, j)
	}
	synced := func(call string) bool { return call == "syncdir "+filepath.Base(parent) }
	calls := files.calls()
	wrote := slices.IndexFunc(calls, func(call string) bool { return strings.HasPrefix(call, "write") })
	if at := slices.IndexFunc(calls, synced); at < 0 || at > wrote || slices.ContainsFunc(calls[at+1:], synced) {
		t.Errorf("calls: %q", calls)
	}
}

// several is a disk with a journal of three segments with batches of records, some of them done, and what its records say.
func several(t *testing.T) (d *disk, records map[uint64]string, done map[uint64]bool) {
	t.Helper()
	d, records, done = newDisk(), make(map[uint64]string), make(map[uint64]bool)
	synctest.Test(t, func(t *testing.T) {
		for s := range 3 {
			j, err := Open("dir", &Options{files: d, Keep: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			var batch []*entry
			for i := range 3 {
				e := newEntry(1, 0, []byte("m"), []byte(strings.Repeat(fmt.Sprint(s), 7*i)))
				if err := j.queue.add(e); err != nil {
					t.Fatal(err)
				}
				batch = append(batch, e)
			}
			for _, e := range batch {
				<-e.done
				records[e.id] = record(e.id, string(e.blob))
			}
			j.End(batch[1].id)
			done[batch[1].id] = true
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
	return d, records, done
}

// TestTwoDamagedPlaces flips each byte of a journal, and another one, or cuts the file of another one. Records that are not hit
// are there. Each other one is missing and told, and never called a torn end. A record may come back when
// the list that calls it done is hit.
func TestTwoDamagedPlaces(t *testing.T) {
	t.Parallel()
	pristine, records, done := several(t)
	rng := rand.New(rand.NewPCG(3, 4))
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(pristine.names)), func(name string) bool { return !strings.HasSuffix(name, segmentSuffix) })
	places := make(map[string][]placed)
	for _, name := range names {
		places[name] = standing(t, pristine.names[name].data)
	}
	for _, name := range names {
		for at := range pristine.names[name].data {
			for range *pairs {
				second := names[rng.IntN(len(names))]
				to := rng.IntN(len(pristine.names[second].data))
				hit := wounds{name: {{at, at + 1}}}
				d := newDisk()
				for n, f := range pristine.names {
					d.names[n] = &diskFile{disk: d, data: bytes.Clone(f.data)}
				}
				d.names[name].data[at] ^= 0x10
				what := fmt.Sprintf("%s byte %d flipped, and %s from %d on", name, at, second, to)
				if f := d.names[second]; rng.IntN(3) == 0 {
					hit[second] = append(hit[second], [2]int{to, len(f.data)})
					f.data = f.data[:to]
					what += " cut"
				} else {
					hit[second] = append(hit[second], [2]int{to, to + 1})
					f.data[to] ^= 0x21
				}
				hit.check(t, what, d, places, records, done)
			}
		}
	}
}

// placed is where a record stands.
type placed struct {
	seq, id    uint64
	kind       byte
	begin, end int
}

func standing(t *testing.T, b []byte) (all []placed) {
	t.Helper()
	h, err := parseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	s := newScanner(bytes.NewReader(b), int64(len(b)), h.mark)
	for h, offset, _, ok := s.next(); ok; h, offset, _, ok = s.next() {
		all = append(all, placed{h.seq, h.id, h.kind, int(offset), int(offset + h.size())})
	}
	return all
}

// wounds are the bytes of each file that are damaged.
type wounds map[string][][2]int

func (w wounds) touch(name string, p placed) bool {
	return slices.ContainsFunc(w[name], func(hit [2]int) bool { return hit[0] < p.end && hit[1] > p.begin })
}

// check opens the damaged disk, and compares.
func (w wounds) check(t *testing.T, what string, d *disk, places map[string][]placed, records map[uint64]string, done map[uint64]bool) {
	t.Helper()
	j, err := Open("dir", &Options{files: d, ReadOnly: true})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer j.Close()
	got := make(map[string]bool)
	for _, r := range undone(t, j) {
		got[r] = true
	}
	for name, all := range places {
		for _, p := range all {
			lost := w.touch(name, p)
			switch {
			case p.kind == kindEnd:
			case !lost && !done[p.id] && !got[records[p.id]]:
				t.Errorf("%s: record %d is not hit and missing: %v", what, p.id, j.Damage())
			case lost && got[records[p.id]]:
				t.Errorf("%s: record %d is hit and there", what, p.id)
			}
			if lost && !slices.ContainsFunc(j.Damage(), func(d Damage) bool { return d.tells(filepath.Base(name), p) }) {
				t.Errorf("%s: record %d is not told: %v", what, p.seq, j.Damage())
			}
			delete(got, records[p.id])
		}
	}
	if len(got) > 0 {
		t.Errorf("%s: nobody wrote %v", what, got)
	}
}

// tells reports whether the damage is a hole that names a record or its bytes, or that says that a file has no header.
func (d Damage) tells(file string, p placed) bool {
	bytes := d.File == file && (d.Offset == 0 || d.Offset < int64(p.end) && d.Offset+d.Bytes > int64(p.begin))
	return !d.Torn && (bytes || d.First <= p.seq && d.Last >= p.seq)
}

// TestAnEmptyBlobIsAValue compares a record whose blob is empty with one that has none, in a journal whose files were removed.
func TestAnEmptyBlobIsAValue(t *testing.T) {
	t.Parallel()
	j := mustOpen(t, t.TempDir(), nil)
	j.gone.Store(true)
	if _, err := j.Append(context.Background(), 1, []byte("m"), []byte{}); !errors.Is(err, ErrRemoved) {
		t.Errorf("a value: %v", err)
	}
	if _, err := j.Append(context.Background(), 1, []byte("m"), nil); err != nil {
		t.Errorf("a note: %v", err)
	}
}
