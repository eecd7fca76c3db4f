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
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestFullJournal fills a journal whose records nobody calls done. It refuses
// records with a *FullError before its files pass the limit, and takes them
// again when there is room.
func TestFullJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opts := &Options{SegmentBytes: 10_000, MaxBytes: 100_000}
	j := mustOpen(t, dir, opts)
	blob := strings.Repeat("x", 1000)
	var ids []uint64
	var err error
	for err == nil {
		var id uint64
		if id, err = j.Append(context.Background(), 1, nil, []byte(blob)); err == nil {
			ids = append(ids, id)
		}
	}
	full, ok := errors.AsType[*FullError](err)
	if !ok || full.Limit != 90_000 || full.Size != 1000+headSize || full.Bytes+full.Size <= full.Limit {
		t.Fatalf("got %#v", err)
	}
	if n := dirBytes(t, dir); n > opts.MaxBytes || n < opts.MaxBytes/2 {
		t.Errorf("the files have %d bytes, and the limit is %d", n, opts.MaxBytes)
	}
	mustClose(t, j)
	j = mustOpen(t, dir, opts)
	if _, err := j.Append(context.Background(), 1, nil, []byte(blob)); err == nil {
		t.Error("a full journal that was opened again takes records")
	}
	j.End(ids[:40]...)
	waitIdle(t, j)
	mustAppend(t, j, "", blob)
	if got := undone(t, j); len(got) != len(ids)-40+1 {
		t.Errorf("%d records, want %d", len(got), len(ids)-39)
	}
	_, err = j.Append(context.Background(), 1, nil, make([]byte, 100_000))
	if full, ok := errors.AsType[*FullError](err); !ok || full.Size <= full.Limit || !strings.Contains(err.Error(), "over the journal's limit") {
		t.Errorf("a record larger than the journal: %v", err)
	}
	if n := testutil.ToFloat64(j.metrics.refused); n != 2 {
		t.Errorf("journal_refused_total is %v", n)
	}
}

// TestStuckTenant has every hundredth record stay for ever, as records of a tenant whose store hangs do. A hundred times the journal's size goes through it
// nevertheless, its files stay within the limit, and nothing is lost or comes
// back after each restart.
func TestStuckTenant(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opts := &Options{SegmentBytes: 20_000, MaxBytes: 200_000, Sync: Off, Registerer: prometheus.NewRegistry()}
	j := mustOpen(t, dir, opts)
	var want []string
	for i := range 20_000 {
		blob := fmt.Sprint(i, strings.Repeat("x", 1000))
		id := add(t, j, blob)
		if i%1000 == 999 {
			want = append(want, record(id, blob))
		} else {
			j.End(id)
		}
		if i%100 == 0 && dirBytes(t, dir) > opts.MaxBytes {
			t.Fatalf("the files have %d bytes", dirBytes(t, dir))
		}
		if i%4000 == 3999 {
			if got := undone(t, j); !slices.Equal(got, want) {
				t.Fatalf("after %d: %.200q, want %.200q", i, got, want)
			}
			mustClose(t, j)
			j = mustOpen(t, dir, opts)
		}
	}
	if got := undone(t, j); !slices.Equal(got, want) || len(j.Damage()) > 0 {
		t.Errorf("%.200q and %v, want %.200q", got, j.Damage(), want)
	}
	if testutil.ToFloat64(j.metrics.copied) == 0 {
		t.Error("nothing was copied")
	}
}

// add appends until the keeper has made room.
func add(t *testing.T, j *Journal, blob string) uint64 {
	t.Helper()
	for {
		id, err := j.Append(context.Background(), 1, []byte("m"), []byte(blob))
		if _, full := errors.AsType[*FullError](err); full {
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
}

// TestAFullJournalOfSmallRecordsDrains fills a journal with small records. Each needs another
// record without a blob to become done. These take more bytes than the journal keeps free for them.
func TestAFullJournalOfSmallRecordsDrains(t *testing.T) {
	t.Parallel()
	j := mustOpen(t, t.TempDir(), &Options{SegmentBytes: 8 << 10, MaxBytes: 64 << 10, Sync: Off})
	var ids []uint64
	for {
		id, err := j.Append(t.Context(), 1, []byte("meta"), []byte("small"))
		if err != nil {
			break
		}
		ids = append(ids, id)
	}
	waits := 0
	for i, id := range ids {
		sealed, err := j.Append(t.Context(), 2, make([]byte, 100), nil)
		for ; err != nil; sealed, err = j.Append(t.Context(), 2, make([]byte, 100), nil) {
			if waits++; waits > 10_000 {
				t.Fatalf("%d of %d records are done, and the journal says %v", i, len(ids), err)
			}
			time.Sleep(time.Millisecond)
		}
		j.End(id, sealed)
	}
	if got := undone(t, j); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
}

// TestDoneCopyStaysDone calls a record done before, during and after the write
// of its copy. It must not come back in this process, and the record that says
// so must not stand before the copy.
func TestDoneCopyStaysDone(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before", "during", "after"} {
		m, err := newMetrics(nil, "")
		if err != nil {
			t.Fatal(err)
		}
		l, old, now := newLedger(m), &segment{}, &segment{}
		l.grow(old)
		l.grow(now)
		l.found(1, place{old, headerSize, headSize})
		step := func(at string) {
			if when == at {
				l.end([]uint64{1})
			}
		}
		step("before")
		entries, ends := l.prepare([]*entry{newEntry(1, 1, nil, nil)})
		if wrote := len(entries) == 1; wrote == (when == "before") || wrote && len(ends) > 0 {
			t.Errorf("%s: the batch has %d copies and calls %v done", when, len(entries), ends)
		}
		step("during")
		for _, e := range entries {
			e.seq = 2
		}
		l.wrote(now, 200, entries)
		step("after")
		if _, err := l.place(1); err == nil || old.live+now.live != 0 {
			t.Errorf("%s: the record came back", when)
		}
		if _, ends := l.prepare(nil); (len(ends) == 1) == (when == "before") {
			t.Errorf("%s: the next batch calls %v done", when, ends)
		}
	}
}

// TestKeep keeps records that are done for a while, so that Replay can tell
// their numbers.
func TestKeep(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		opts := &Options{Keep: time.Minute}
		j := mustOpen(t, dir, opts)
		id := mustAppend(t, j, "id of a post", "b")
		j.End(id)
		mustClose(t, j)
		mark := time.Now()
		if err := os.Chtimes(logs(t, dir)[0], mark, mark); err != nil {
			t.Fatal(err)
		}
		j = mustOpen(t, dir, opts)
		mustAppend(t, j, "m", "next segment")
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if got := all(t, j); !slices.Equal(got, []string{"1=id of a post:b done", "3=m:next segment"}) {
			t.Errorf("before the time is over: %q", got)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := all(t, j); !slices.Equal(got, []string{"3=m:next segment"}) {
			t.Errorf("after it: %q", got)
		}
		mustClose(t, j)
	})
}

// all returns every record that Replay tells of.
func all(t *testing.T, j *Journal) (records []string) {
	t.Helper()
	err := j.Replay(func(id uint64, _ byte, meta, blob []byte, done bool) error {
		s := fmt.Sprintf("%d=%s:%s", id, meta, blob)
		if done {
			s += " done"
		}
		records = append(records, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// TestSegmentRemovedByHand removes a file behind the journal's back. Its
// records can be read as long as it is open, and the journal goes on.
func TestSegmentRemovedByHand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := mustOpen(t, dir, &Options{SegmentBytes: 100, MaxBytes: 2000})
	first := mustAppend(t, j, "m", strings.Repeat("x", 100))
	if err := os.Remove(logs(t, dir)[0]); err != nil {
		t.Fatal(err)
	}
	second := mustAppend(t, j, "m", "second")
	if got := undone(t, j); len(got) != 2 {
		t.Errorf("got %q", got)
	}
	j.End(first)
	waitIdle(t, j)
	if got := undone(t, j); !slices.Equal(got, []string{record(second, "second")}) {
		t.Errorf("got %q", got)
	}
	mustClose(t, j)
	if again := mustOpen(t, dir, nil); len(again.Damage()) > 0 {
		t.Errorf("damage: %v", again.Damage())
	}
}

func TestReplayEndsAtAnError(t *testing.T) {
	t.Parallel()
	j := mustOpen(t, t.TempDir(), nil)
	mustAppend(t, j, "m", "1")
	mustAppend(t, j, "m", "2")
	calls := 0
	err := j.Replay(func(uint64, byte, []byte, []byte, bool) error { calls++; return errDisk })
	if !errors.Is(err, errDisk) || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

// TestFilesKeptAsideAreBounded has damage again and again.
func TestFilesKeptAsideAreBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opts := &Options{SegmentBytes: 10_000, MaxBytes: 80_000}
	for range 12 {
		j := mustOpen(t, dir, opts)
		j.End(mustAppend(t, j, "m", strings.Repeat("x", 3000)))
		waitIdle(t, j)
		mustClose(t, j)
		names := logs(t, dir)
		last := names[len(names)-1]
		writeFile(t, last, append(readFile(t, last), "torn"...))
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"+asideInfix+"*"))
	if err != nil || len(names) != 3 {
		t.Errorf("%d files are kept aside: %v", len(names), err)
	}
}

// TestLostWhileMoved damages a record before the keeper moves it: that is
// told, and the journal goes on without it.
func TestLostWhileMoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := mustOpen(t, dir, &Options{SegmentBytes: 2000, MaxBytes: 8000})
	lost := mustAppend(t, j, "m", "lost")
	kept := mustAppend(t, j, "m", "kept")
	first := logs(t, dir)[0]
	b := readFile(t, first)
	b[headerSize+headSize+3] ^= 1
	writeFile(t, first, b)
	for range 40 {
		j.End(add(t, j, strings.Repeat("x", 400)))
	}
	waitIdle(t, j)
	if got := undone(t, j); !slices.Equal(got, []string{record(kept, "kept")}) {
		t.Errorf("got %q", got)
	}
	if d := j.Damage(); len(d) != 1 || d[0].First != lost || d[0].Last != lost || d[0].Torn {
		t.Errorf("damage: %v", d)
	}
	if aside, err := filepath.Glob(first + asideInfix + "*"); err != nil || len(aside) != 1 {
		t.Errorf("kept aside: %q, %v", aside, err)
	}
}

// TestADiskThatCannotReadForAWhile lets reads fail when the keeper wants to move a record,
// for a while or for good. A record that can be read again later is not lost.
func TestADiskThatCannotReadForAWhile(t *testing.T) {
	t.Parallel()
	for _, lasting := range []bool{false, true} {
		t.Run(fmt.Sprint("lasting ", lasting), func(t *testing.T) {
			t.Parallel()
			files, pause := &faulty{}, time.Hour
			if lasting {
				pause = time.Nanosecond
			}
			j := mustOpen(t, t.TempDir(), &Options{SegmentBytes: 2000, MaxBytes: 8000, files: files, pause: pause})
			want := []string{record(mustAppend(t, j, "m", "kept"), "kept")}
			files.set(failing(errDisk, "0000000000000001"+segmentSuffix, "read"))
			for range 15 {
				id, err := j.Append(context.Background(), 1, []byte("m"), []byte(strings.Repeat("x", 400)))
				if err != nil {
					break
				}
				j.End(id)
			}
			failed := func(call string) bool { return strings.HasPrefix(call, "read 0000000000000001") }
			for !slices.ContainsFunc(files.calls(), failed) || lasting && len(j.Damage()) == 0 {
				time.Sleep(time.Millisecond)
			}
			files.set(nil)
			if lasting {
				want = nil
			}
			if got := undone(t, j); !slices.Equal(got, want) || len(j.Damage()) > 0 != lasting {
				t.Errorf("got %q and %v, want %q", got, j.Damage(), want)
			}
		})
	}
}

// TestReadsThatFailFarApart fails a read now and then for days, and then for a minute without a break.
func TestReadsThatFailFarApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{Journal: &Journal{opts: Options{pause: time.Second}}}
		for range 100 {
			time.Sleep(time.Hour)
			for range 2 {
				if k.isLasting(errDisk) {
					t.Fatal("a record is lost")
				}
			}
		}
		lasting := false
		for range 2 * patience {
			time.Sleep(time.Second)
			lasting = k.isLasting(errDisk)
		}
		if !lasting {
			t.Error("a disk that never reads is waited for")
		}
	})
}

func dirBytes(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	for _, name := range logs(t, dir) {
		if info, err := os.Stat(name); err == nil { // or it was removed meanwhile
			bytes += info.Size()
		}
	}
	return bytes
}
