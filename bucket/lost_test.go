package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/journal"
	"github.com/timeblob/timeblob/tiered"
)

// damagedJournal cannot read one of its records.
type damagedJournal struct {
	*memJournal
	id  uint64
	err error
}

func (j damagedJournal) Read(id uint64) (kind byte, meta, blob []byte, err error) {
	if id == j.id {
		return 0, nil, nil, j.err
	}
	return j.memJournal.Read(id)
}

// lostRecords are the ways in which record 2 is lost.
var lostRecords = map[string]error{
	"damaged": &journal.CorruptError{ID: 2, File: "x.log"},
	"missing": &journal.NotFoundError{ID: 2},
}

// losses collect what Failed is told of tenant a.
type losses struct {
	mu   sync.Mutex // guards errs
	errs []error
}

func (f *losses) failed(t *testing.T) func(string, ids, error) {
	return func(tenant string, v ids, err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if tenant != "a" || v != nil {
			t.Errorf("told %v of %s", v, tenant)
		}
		f.errs = append(f.errs, err)
	}
}

// want fails unless Failed was told once, with an error of the journal that names the record.
func (f *losses) want(t *testing.T, lost error, record string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.errs) != 1 {
		t.Fatalf("told %v", f.errs)
	}
	_, typed := errors.AsType[*bucket.JournalError](f.errs[0])
	if !typed || lost != nil && !errors.Is(f.errs[0], lost) || !strings.Contains(f.errs[0].Error(), record+" is lost") {
		t.Errorf("told %v", f.errs[0])
	}
}

// closeSoon closes a collector, and fails if it does not get rid of its values.
func closeSoon(t *testing.T, c *bucket.Collector[ids]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if s := c.Stats(); s.Values != 0 || s.Bytes != 0 {
		t.Errorf("%d values of %d bytes are pending", s.Values, s.Bytes)
	}
}

// TestALostRecordIsToldOnce takes over a tick from a journal that cannot read one of its records. Questions name the value until it
// is told to Failed. The others are stored, and the record stays in the journal.
func TestALostRecordIsToldOnce(t *testing.T) {
	t.Parallel()
	for name, lost := range lostRecords {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s, j := newStores(t), newMemJournal()
					old := s.collector(t, journaled(j))
					mustAdd(t, old, "b", 0)
					for i := range n {
						mustAdd(t, old, "a", 1+i) // as record 2 and those after it
					}
					next, told := j.afterKill(0), &losses{}
					opts := journaled(damagedJournal{next, 2, lost})
					opts.Failed = told.failed(t)
					c := s.collector(t, opts)
					askAboutALostRecord(t, c, upTo(1 + n)[2:])
					closeSoon(t, c)
					told.want(t, lost, "record 2")
					wantIDs(t, "stored", s.stored(t, "a"), nil, upTo(1 + n)[2:])
					wantIDs(t, "stored", s.stored(t, "b"), nil, ids{0})
					if live := next.live(); live != 1 {
						t.Errorf("%d records are left in the journal", live)
					}
				})
			})
		}
	}
}

// askAboutALostRecord asks about a tick that has a lost value and others.
func askAboutALostRecord(t *testing.T, c *bucket.Collector[ids], others ids) {
	t.Helper()
	from, to := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	ask := map[string]func(*bucket.RangeOptions) (bucket.Answer[ids], error){
		"range": func(o *bucket.RangeOptions) (bucket.Answer[ids], error) {
			return c.Range(t.Context(), "a", from, to, o)
		},
		"at": func(o *bucket.RangeOptions) (bucket.Answer[ids], error) { return c.At(t.Context(), "a", time.Now(), o) },
	}
	for what, ask := range ask {
		a, err := ask(nil)
		if held, typed := errors.AsType[*bucket.HeldError](err); !typed || held.Tenant != "a" {
			t.Errorf("%s: %v, %v", what, a, err)
		}
		a, err = ask(&bucket.RangeOptions{Partial: true})
		wantIDs(t, "partial "+what, a, err, others)
		if len(a.Missing) != 1 || a.Missing[0].Tenant != "a" {
			t.Errorf("%s: missing is %v", what, a.Missing)
		}
	}
	held, err := c.Held(t.Context(), "a", from, to)
	if err != nil || len(held.Sealed) != 1+len(others) || held.Sealed[0].Err == nil {
		t.Errorf("held %+v, %v", held, err)
	}
}

// TestALostRecordOfAStoredValue kills a collector that has stored a tick, and damages one of the tick's records. The tick is in the
// index, so nothing is told, and nothing is stored again.
func TestALostRecordOfAStoredValue(t *testing.T) {
	t.Parallel()
	for name, lost := range lostRecords {
		for _, committed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/committed %v", name, committed), func(t *testing.T) {
				t.Parallel()
				s, j, options := newStores(t), newMemJournal(), journaled
				if committed {
					co := &committer{index: index.NewMemIndex()}
					s, options = co.stores(t), synced(co, never, "a")
				}
				old := s.collector(t, options(j))
				mustAdd(t, old, "a", 0, 1, 2)
				if err := old.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				next := j.afterKill(len(j.ends))
				opts := options(damagedJournal{next, 2, lost})
				opts.Failed = func(_ string, _ ids, err error) { t.Errorf("told %v", err) }
				closeSoon(t, s.collector(t, opts))
				wantIDs(t, "stored", s.stored(t, "a"), nil, upTo(3))
				if live := next.live(); live != 0 {
					t.Errorf("%d records are left in the journal", live)
				}
			})
		}
	}
}

// TestALostRecordAndAFailedSync has an attempt commit a tick and seem to fail. The tick rests in the journal, one of its records is
// lost, and the first sync fails and takes the commit back. The other values of the tick are committed again, with their blobs.
func TestALostRecordAndAFailedSync(t *testing.T) {
	t.Parallel()
	for name, lost := range lostRecords {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				co, syncs, told := &committer{index: index.NewMemIndex()}, atomic.Int64{}, &losses{}
				co.fault = func(call int) (f faulttest.Fault) {
					if call == 1 {
						f = faulttest.Fault{Err: errBroken, Applied: true}
					}
					return f
				}
				s := co.stores(t)
				opts := synced(co, func() bool { return syncs.Add(1) == 1 }, "a")(damagedJournal{newMemJournal(), 2, lost})
				opts.Tick, opts.Window, opts.SyncEvery, opts.Backoff, opts.MaxBackoff = time.Second, 5*time.Second, time.Hour, time.Minute, time.Minute
				opts.Failed = told.failed(t)
				c := s.collector(t, opts)
				go func() { _ = c.Run(context.Background()) }()
				mustAdd(t, c, "a", 0, 1, 2)
				time.Sleep(10 * time.Minute)
				closeSoon(t, c)
				told.want(t, lost, "record 2")
				wantIDs(t, "stored", s.stored(t, "a"), nil, ids{0, 2})
			})
		})
	}
}

// restless encodes a value differently each time.
type restless struct {
	idCodec
	n *atomic.Int64
}

func (c restless) Encode(v ids) ([]byte, error) {
	blob, err := c.idCodec.Encode(v)
	return append(blob, strings.Repeat(" ", int(c.n.Add(1)))...), err
}

// TestACommitThatLandedComesOutDifferently commits a tick with an attempt that seems to fail, and has it rest in the journal. When it
// is encoded again its blob differs. The value keeps its key, so that no question counts it twice.
func TestACommitThatLandedComesOutDifferently(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		co := &committer{index: index.NewMemIndex(), fault: func(call int) (f faulttest.Fault) {
			if call == 1 {
				f = faulttest.Fault{Err: errBroken, Applied: true}
			}
			return f
		}}
		blobs, err := tiered.New(restless{n: new(atomic.Int64)}, &co.tier, nil)
		if err != nil {
			t.Fatal(err)
		}
		j, full := newMemJournal(), errors.New("full")
		opts := journaled(j)
		opts.Committer, opts.Backoff, opts.MaxBackoff = co, time.Hour, time.Hour
		c, err := bucket.NewCollector(co.index, blobs, mergeIDs, opts)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = c.Run(context.Background()) }()
		mustAdd(t, c, "a", 1, 2)
		time.Sleep(2 * time.Minute)
		j.fail.Store(&full) // so that no other key can be noted
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = c.Flush(ctx)
		a, err := c.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now(), nil)
		wantIDs(t, "committed", a, err, ids{1, 2})
		j.fail.Store(nil)
		closeSoon(t, c)
	})
}

// TestACommitThatLandsLateComesOutDifferently is the same with a commit that lands when the value would have another key.
func TestACommitThatLandsLateComesOutDifferently(t *testing.T) {
	t.Parallel()
	for _, lands := range []bool{true, false} {
		t.Run(fmt.Sprint("lands ", lands), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				co := &latecomer{committer: &committer{index: index.NewMemIndex()}, fails: 3}
				blobs, err := tiered.New(restless{n: new(atomic.Int64)}, &co.tier, nil)
				if err != nil {
					t.Fatal(err)
				}
				opts := journaled(newMemJournal())
				opts.Committer, opts.Backoff, opts.MaxBackoff = co, time.Minute, time.Minute
				c, err := bucket.NewCollector(co.index, blobs, mergeIDs, opts)
				if err != nil {
					t.Fatal(err)
				}
				go func() { _ = c.Run(context.Background()) }()
				mustAdd(t, c, "a", 1, 2)
				for range 30 {
					time.Sleep(time.Minute)
					if lands {
						co.land(time.Minute)
					}
					a, err := c.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now(), nil)
					wantIDs(t, "asked", a, err, ids{1, 2})
				}
				entries, err := c.Entries(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
				if err != nil || len(entries) != 1 {
					t.Errorf("got entries %v, error %v", entries, err)
				}
				closeSoon(t, c)
			})
		})
	}
}

// TestALateCommitOfAnEarlierProcess has the commit of a collector that was killed land when the next one has given the value another key,
// and could not commit it yet.
func TestALateCommitOfAnEarlierProcess(t *testing.T) {
	t.Parallel()
	co, j := &latecomer{committer: &committer{index: index.NewMemIndex()}, fails: 2}, newMemJournal()
	blobs, err := tiered.New(restless{n: new(atomic.Int64)}, &co.tier, nil)
	if err != nil {
		t.Fatal(err)
	}
	start := func(commits int) *bucket.Collector[ids] {
		opts := journaled(j)
		opts.Committer, opts.Backoff, opts.MaxBackoff = co, time.Hour, time.Hour
		c, err := bucket.NewCollector(co.index, blobs, mergeIDs, opts)
		if err != nil {
			t.Fatal(err)
		}
		if commits == 1 {
			mustAdd(t, c, "a", 1, 2)
		}
		for co.commits() < commits {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			_ = c.Flush(ctx)
		}
		return c
	}
	start(1)
	c := start(2)
	co.land(0)
	for range 2 {
		a, err := c.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), nil)
		wantIDs(t, "asked", a, err, ids{1, 2})
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := c.Entries(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil || len(entries) != 1 {
		t.Errorf("got entries %v, error %v", entries, err)
	}
}

// flip changes one byte of a text in a journal's files.
func flip(t *testing.T, dir, text string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(content, []byte(text)); at >= 0 {
			f, err := os.OpenFile(name, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteAt([]byte{content[at] ^ 1}, int64(at))
			if err = errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%s is in none of %q", text, names)
}

// TestADamagedFileOfTheJournal flips a byte of a record of a journal on disk, after it was opened. The record's value is told: to
// Failed, and by Damage, or by Damage alone when the collector had not read it. All others are stored once.
func TestADamagedFileOfTheJournal(t *testing.T) {
	t.Parallel()
	for _, replayed := range []bool{false, true} {
		t.Run(fmt.Sprint("replayed ", replayed), func(t *testing.T) {
			t.Parallel()
			d, dir := newDeletable(t), t.TempDir()
			d.rows.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken})
			first := mustOpen(t, dir)
			old := d.collector(t, d.blobs, journaled(first))
			mustAdd(t, old, "a", 1001, 1002, 1003)
			mustAdd(t, old, "b", 1004)
			mustClose(t, old, first)
			d.rows.Heal()
			j, told := mustOpen(t, dir), &losses{}
			opts := journaled(j)
			opts.Failed = told.failed(t)
			if !replayed {
				flip(t, dir, "[1002]")
			}
			c := d.collector(t, d.blobs, opts)
			if replayed {
				flip(t, dir, "[1002]")
			}
			closeSoon(t, c)
			if replayed {
				told.want(t, nil, "record 2")
			}
			wantIDs(t, "a", d.stored(t, "a"), nil, ids{1001, 1003})
			wantIDs(t, "b", d.stored(t, "b"), nil, ids{1004})
			if damage := j.Damage(); len(damage) != 1 || damage[0].First != 2 || damage[0].Last != 2 || damage[0].Torn {
				t.Errorf("damage: %v", damage)
			}
			if live := j.Stats().Live; live != 0 { // the journal does not wait for what it has lost
				t.Errorf("%d records are left", live)
			}
			mustClose(t, c, j)
		})
	}
}

func mustOpen(t *testing.T, dir string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// mustClose ends a collector as a kill does, and closes its journal.
func mustClose(t *testing.T, c *bucket.Collector[ids], j *journal.Journal) {
	t.Helper()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_ = c.Close(ended)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}
