package bucket_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/journal"
	"github.com/timeblob/timeblob/tiered"
)

// TestATornListOfDoneRecords stores a tick of so many values that the journal needs two records to call them done, and tears the
// second one, as the end of a process does. The next process finds the tick in the index and stores nothing again.
func TestATornListOfDoneRecords(t *testing.T) {
	t.Parallel()
	const values = 5000
	s, dir := newStores(t), t.TempDir()
	j, err := journal.Open(dir, &journal.Options{Sync: journal.Off, Keep: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	c := s.collector(t, journaled(j))
	for i := range values {
		mustAdd(t, c, "a", i)
	}
	if err := errors.Join(c.Flush(t.Context()), j.Close()); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%q, %v", names, err)
	}
	info, err := os.Stat(names[0])
	if err != nil {
		t.Fatal(err)
	}
	noted := os.Truncate(filepath.Join(dir, "STATE"), 40) // the process ends before it notes that all are done
	if err := errors.Join(noted, os.Truncate(names[0], info.Size()-1)); err != nil {
		t.Fatal(err)
	}
	next := mustOpen(t, dir)
	if n := next.Stats().Live; n == 0 || n > values/2 {
		t.Fatalf("%d records are not done", n)
	}
	closeSoon(t, s.collector(t, journaled(next)))
	if got := s.stored(t, "a"); !slices.Equal(got, upTo(values)) {
		t.Errorf("%d values are stored, want %d", len(got), values)
	}
	if n := next.Stats().Live; n > 0 {
		t.Errorf("%d records are left", n)
	}
	mustClose(t, s.collector(t, nil), next)
}

// TestTheSealedRecordOfALostValue kills a collector that has noted the entry of a value and not stored it, and damages the value's
// record. The value is told, and its sealed record is done: it keeps no segment of the journal.
func TestTheSealedRecordOfALostValue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, loseASealedValue)
}

func loseASealedValue(t *testing.T) {
	s, j, told := newStores(t), newMemJournal(), &losses{}
	s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken})
	old := s.collector(t, journaled(j))
	mustAdd(t, old, "a", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := old.Close(ctx); err == nil || j.live() != 2 {
		t.Fatalf("%d records wait, %v", j.live(), err)
	}
	s.tier.Heal()
	next := j.afterKill(0)
	opts := journaled(damagedJournal{next, 1, &journal.CorruptError{ID: 1}})
	opts.Failed = told.failed(t)
	begun := time.Now()
	if err := s.collector(t, opts).Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < 5*time.Minute { // so long a put of the killed collector may land
		t.Errorf("given up after %v", took)
	}
	told.want(t, nil, "record 1")
	if n := next.live(); n != 1 {
		t.Errorf("%d records wait", n)
	}
}

// TestALostRecordAndALateCommit kills a collector whose commit seemed to fail, and damages a record of one of its two values. The commit
// lands before the next collector starts, while it waits, or never: then the other value is stored, and the lost one told. A collector
// that is alone, or owns the index, does not wait: no commit outlives its process.
func TestALostRecordAndALateCommit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lands time.Duration // after the start; negative: never
		alone bool
		owned bool
		takes time.Duration
	}{
		"before":            {lands: 0},
		"meanwhile":         {lands: time.Minute, takes: 5 * time.Minute},
		"never":             {lands: -1, takes: 5 * time.Minute},
		"before, and alone": {lands: 0, alone: true},
		"never, and alone":  {lands: -1, alone: true},
		"never, and owned":  {lands: -1, owned: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { loseARecord(t, c.lands, c.takes, c.alone, c.owned) })
		})
	}
}

func loseARecord(t *testing.T, lands, takes time.Duration, alone, owned bool) {
	co, j, told := &latecomer{committer: &committer{index: index.NewMemIndex()}}, newMemJournal(), &losses{}
	s := co.stores(t)
	opts := journaled(j)
	opts.Committer, opts.Backoff, opts.MaxBackoff = co, time.Hour, time.Hour
	c := s.collector(t, opts)
	mustAdd(t, c, "a", 1, 2)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := c.Flush(ctx); err == nil || co.commits() != 1 {
		t.Fatalf("%d commits, error %v", co.commits(), err)
	}
	next := j.afterKill(0)
	opts = journaled(damagedJournal{next, 1, &journal.CorruptError{ID: 1}})
	opts.Committer, opts.Alone, opts.Failed = co, alone, told.failed(t)
	want := ids{2}
	switch {
	case lands == 0:
		co.land(0)
		want = ids{1, 2}
	case lands > 0:
		time.AfterFunc(lands, func() { co.land(0) })
		want = ids{1, 2}
	}
	if owned {
		opts.Past.Levels = &bucket.LevelOptions{Owned: true, Build: bucket.BuildOff}
	}
	c, err := bucket.NewCollector(co.index, s.blobs, mergeIDs, opts) // which has places
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < takes || took > takes+time.Second {
		t.Errorf("stored after %v, want %v", took, takes)
	}
	v, err := c.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), nil)
	wantIDs(t, "stored", v, err, want)
	if lands >= 0 && len(told.errs) > 0 {
		t.Errorf("told %v", told.errs)
	} else if lands < 0 {
		told.want(t, nil, "record 1")
	}
}

// TestARecordIsLostWhileACommitMayLand damages a record of two values that rest in the journal, after their commit seemed to fail. They are
// not given up before the commit lands.
func TestARecordIsLostWhileACommitMayLand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		co, j, told := &latecomer{committer: &committer{index: index.NewMemIndex()}}, newMemJournal(), &losses{}
		opts := journaled(&damagedJournal{j, 1, &journal.CorruptError{ID: 1}})
		opts.Committer, opts.Backoff, opts.MaxBackoff, opts.Failed = co, time.Minute, time.Minute, told.failed(t)
		opts.Tick, opts.Window = time.Second, 2*time.Second
		c := co.stores(t).collector(t, opts)
		ran := make(chan error, 1)
		go func() { ran <- c.Run(t.Context()) }()
		mustAdd(t, c, "a", 1, 2)
		time.Sleep(4 * time.Minute) // the values rest, and were tried again
		co.land(0)
		if n := co.commits(); n != 1 {
			t.Errorf("%d commits", n)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		v, err := c.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), nil)
		wantIDs(t, "stored", v, err, ids{1, 2})
		if err := <-ran; err != nil || len(told.errs) > 0 {
			t.Errorf("run: %v, told %v", err, told.errs)
		}
	})
}

// unitCodec encodes 1 as no bytes at all, and leaves the slice nil.
type unitCodec struct{}

func (unitCodec) Encode(v int) ([]byte, error) {
	if v == 1 {
		return nil, nil
	}
	return []byte(strconv.Itoa(v)), nil
}

func (unitCodec) Decode(blob []byte) (int, error) {
	if len(blob) == 0 {
		return 1, nil
	}
	return strconv.Atoi(string(blob))
}

func total(parts []int) (n int, err error) {
	for _, v := range parts {
		n += v
	}
	return n, nil
}

// TestValuesWithoutBytes adds values whose blob is empty, kills the collector before or after it has stored them, and counts
// them. The journal can tell each from a record without a blob.
func TestValuesWithoutBytes(t *testing.T) {
	t.Parallel()
	for what, forgotten := range map[string]int{"not stored": 0, "stored": 1000} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			blobs, err := tiered.New(unitCodec{}, &tiered.MemTier{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			idx, j := index.NewMemIndex(), newMemJournal()
			collector := func(j bucket.Journal) *bucket.Collector[int] {
				c, err := bucket.NewCollector(idx, blobs, total, &bucket.CollectorOptions[int]{Journal: j, Tick: time.Hour, Window: time.Hour,
					Size: func(int) int64 { return 8 }})
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			c, from := collector(j), time.Now().Add(-time.Hour)
			for i := range 3 {
				if err := errors.Join(c.Add(t.Context(), "a", 1, nil), c.AddBlob(t.Context(), "b", bucket.Encoded[int]{Blob: []byte{}}, nil),
					c.Add(t.Context(), "c", 1, &bucket.AddOptions{At: from.Add(time.Duration(i))})); err != nil {
					t.Fatal(err)
				}
			}
			if forgotten > 0 {
				if err := c.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for id, r := range j.records {
				if r.kind == 1 && r.blob == nil {
					t.Errorf("record %d is a value without a blob", id)
				}
			}
			next := collector(j.afterKill(forgotten))
			if err := next.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, tenant := range []string{"a", "b", "c"} {
				a, err := next.Past().Range(t.Context(), tenant, from, time.Now().Add(time.Hour), nil)
				if err != nil || a.Value != 3 {
					t.Errorf("%s: %d, %v", tenant, a.Value, err)
				}
			}
		})
	}
}

// TestRestingRecordsAreCounted takes the store away and adds ticks of many small values. When they rest in the journal, each of
// their records counts, since the journal notes in memory where it is.
func TestRestingRecordsAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStores(t)
		s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken})
		c := s.collector(t, &bucket.CollectorOptions[ids]{Journal: newMemJournal(), Tick: time.Second, Window: 10 * time.Second,
			Backoff: time.Hour, MaxBackoff: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		for i := range 300 {
			mustAdd(t, c, "a", i)
		}
		time.Sleep(time.Minute)
		if n := c.Pending(); n < 300*80 || n > 300*120 {
			t.Errorf("%d bytes are counted for 300 records", n)
		}
		s.tier.Heal()
		cancel()
		<-ended
		closeSoon(t, c)
		wantIDs(t, "stored", s.stored(t, "a"), nil, upTo(300))
	})
}

// TestBlobsOfLateEntriesAreTold has an entry and its blob come while a deletion deletes blobs. The entry is removed, and its blob
// cannot be deleted. The error names the blob.
func TestBlobsOfLateEntriesAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDeletable(t)
		c := d.collector(t, d.blobs, fast())
		from, to := hour()
		mustAddAt(t, c, "a", from.Add(time.Minute), 1)
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		row := index.RowAt("a", from.Add(time.Minute).UnixNano())
		entries, err := d.mem.Query(t.Context(), row, row.Start(), row.End())
		if err != nil || len(entries) != 1 {
			t.Fatal(entries, err)
		}
		late := lateBlobs{deletable: d, row: row, entry: entries[0]}
		deleter, err := bucket.NewDeleter(d.entries(), &late)
		if err != nil {
			t.Fatal(err)
		}
		_, err = deleter.Delete(t.Context(), "a", from, to, now)
		left, ok := errors.AsType[*bucket.BlobsLeftError](err)
		if !ok || !errors.Is(err, errBroken) || !slices.Equal(left.Keys, []string{entries[0].Key}) {
			t.Errorf("the error is %v", err)
		}
	})
}

// lateBlobs delete blobs once. Meanwhile an entry comes and its blob.
type lateBlobs struct {
	*deletable
	row   index.Row
	entry index.Entry
	calls int
}

func (l *lateBlobs) Delete(ctx context.Context, keys []string) error {
	if l.calls++; l.calls > 1 {
		return errBroken
	}
	return errors.Join(l.held.Delete(ctx, keys), l.held.Put(ctx, l.entry.Key, []byte("[1]")), l.mem.Put(ctx, l.row, l.entry))
}
