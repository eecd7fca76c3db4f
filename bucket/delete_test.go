package bucket_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// deletable are stores that delete, list and scan, and fail as they are told.
type deletable struct {
	*stores
	mem  *index.MemIndex
	held *tiered.MemTier
	rows *faulttest.Levels
}

func newDeletable(t testing.TB) *deletable {
	t.Helper()
	d := &deletable{mem: index.NewMemIndex(), held: new(tiered.MemTier)}
	d.rows = faulttest.NewLevels(d.mem, 1)
	d.stores = &stores{index: &d.rows.Index, tier: faulttest.NewTier(d.held, 1)}
	d.reopen(t)
	return d
}

// scanner is the index with all that it can do.
type scanner struct {
	*faulttest.Levels
	mem *index.MemIndex
}

func (x scanner) Scan(ctx context.Context, tenant string, from, to int64) iter.Seq2[index.Entry, error] {
	return x.mem.Scan(ctx, tenant, from, to)
}

func (d *deletable) entries() index.Index { return scanner{d.rows, d.mem} }

func (d *deletable) collector(t testing.TB, blobs bucket.Blobs[ids], opts *bucket.CollectorOptions[ids]) *bucket.Collector[ids] {
	t.Helper()
	c, err := bucket.NewCollector(d.entries(), blobs, mergeIDs, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// want fails unless the stores have so many blobs and, for a reader with no
// memory, these values.
func (d *deletable) want(t *testing.T, blobs int, want ids) {
	t.Helper()
	wantIDs(t, "stored", d.stored(t, "a"), nil, want)
	if n := d.held.Len(); n != blobs {
		t.Errorf("there are %d blobs, want %d", n, blobs)
	}
}

// now keeps blobs for no question.
var now = &bucket.DeleteOptions{Wait: -1}

// hour returns the hour before the present, and its end.
func hour() (from, to time.Time) {
	to = time.Now()
	return to.Add(-time.Hour), to
}

// TestAddedAgainWhereOneWasDeleted deletes a value that every memory and cache
// holds, and adds another one at its instant. Nobody answers with the old one.
// The other process learns of neither, and its cache does not delete.
func TestAddedAgainWhereOneWasDeleted(t *testing.T) {
	t.Parallel()
	for name, past := range map[string]bool{"at an instant": true, "by a clock that was set back": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDeletable(t)
			from, to := hour()
			instant := from.Add(time.Minute)
			add := func(v int) *bucket.Collector[ids] {
				opts, at := fast(), &bucket.AddOptions{At: instant}
				if !past {
					opts.Now, at = func() time.Time { return instant }, nil
				}
				c := d.collector(t, d.blobs, opts)
				if err := errors.Join(c.Add(t.Context(), "a", ids{v}, at), c.Flush(t.Context())); err != nil {
					t.Fatal(err)
				}
				return c
			}
			other, cache := d.querier(t)
			ask := func(what string, want ids) {
				a, err := other.Range(t.Context(), "a", from, to, nil)
				wantIDs(t, what, a, err, want)
			}
			c := add(1)
			ask("the first", ids{1})
			old := d.key(t, from, to)
			if done, err := c.Delete(t.Context(), "a", from, to, now); err != nil || done.Blobs != 1 {
				t.Fatalf("deleted %+v, %v", done, err)
			}
			ask("deleted", nil)
			c = add(2)
			ask("added again", ids{2})
			a, err := c.Range(t.Context(), "a", from, to, nil)
			wantIDs(t, "the collector's", a, err, ids{2})
			if blobs, err := cache.Get(t.Context(), []string{old}); err != nil || blobs[0] == nil {
				t.Errorf("the cache has not kept the old blob: %v", err)
			}
			if past && d.key(t, from, to) == old {
				t.Error("the key was used again")
			}
		})
	}
}

// bare hides what a tier can do beside Get and Put.
type bare struct{ tiered.Tier }

// querier returns another process's querier, and its cache.
func (d *deletable) querier(t *testing.T) (*bucket.Quantizer[ids], tiered.Tier) {
	t.Helper()
	cache := bare{new(tiered.MemTier)}
	blobs, err := tiered.New(idCodec{}, d.tier, &tiered.Options[ids]{Caches: []tiered.Cache{{Name: "cache", Tier: cache}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := blobs.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	q, err := bucket.NewQuantizer(d.entries(), blobs, mergeIDs, nil)
	if err != nil {
		t.Fatal(err)
	}
	return q, drained{cache, blobs}
}

// drained is a cache that is read when all writes to it are done.
type drained struct {
	tiered.Tier
	store *tiered.Store[ids]
}

func (c drained) Get(ctx context.Context, keys []string) ([][]byte, error) {
	if err := c.store.Close(ctx); err != nil {
		return nil, err
	}
	return c.Tier.Get(ctx, keys)
}

// key returns the key of the range's only entry.
func (d *deletable) key(t *testing.T, from, to time.Time) (key string) {
	t.Helper()
	for e, err := range d.mem.Scan(t.Context(), "a", from.UnixNano(), to.UnixNano()) {
		if err != nil || key != "" {
			t.Fatalf("a second entry %+v, %v", e, err)
		}
		key = e.Key
	}
	return key
}

// meeting is an authority whose first Get meets what is done meanwhile.
type meeting struct {
	tiered.Tier
	meanwhile func()
}

func (m *meeting) Get(ctx context.Context, keys []string) ([][]byte, error) {
	if do := m.meanwhile; do != nil {
		m.meanwhile = nil
		do()
	}
	return m.Tier.Get(ctx, keys)
}

// TestAQuestionThatPlannedBeforeADelete has read its entries when they and their
// blobs go. It answers what is left. Where only a blob goes, it says so.
func TestAQuestionThatPlannedBeforeADelete(t *testing.T) {
	t.Parallel()
	opts := &bucket.RangeOptions{Partial: true}
	from, to := hour()
	for name, ask := range map[string]func(context.Context, *bucket.Collector[ids], *bucket.Querier[ids]) (bucket.Answer[ids], error){
		"collector": func(ctx context.Context, c *bucket.Collector[ids], _ *bucket.Querier[ids]) (bucket.Answer[ids], error) {
			return c.Range(ctx, "a", from, to, nil)
		},
		"partial": func(ctx context.Context, c *bucket.Collector[ids], _ *bucket.Querier[ids]) (bucket.Answer[ids], error) {
			return c.Range(ctx, "a", from, to, opts)
		},
		"many": func(ctx context.Context, c *bucket.Collector[ids], _ *bucket.Querier[ids]) (bucket.Answer[ids], error) {
			return c.RangeMany(ctx, []string{"a", "b"}, from, to, nil)
		},
		"querier": func(ctx context.Context, c *bucket.Collector[ids], q *bucket.Querier[ids]) (bucket.Answer[ids], error) {
			return q.Range(ctx, "a", from, to, []bucket.Source[ids]{c}, nil)
		},
	} {
		for until, want := range map[time.Duration]ids{5 * time.Minute: {5, 6, 7, 8, 9}, time.Hour: nil, 0: upTo(10)} {
			t.Run(name+" "+until.String(), func(t *testing.T) {
				t.Parallel()
				d := newDeletable(t)
				d.history(t, from, 10)
				met := &meeting{Tier: d.held, meanwhile: func() { d.delete(t, from, from.Add(until)) }}
				c, q := d.readers(t, met)
				a, err := ask(t.Context(), c, q)
				wantIDs(t, "answer", a, err, want)
				if len(a.Missing) > 0 || a.Entries != len(want) {
					t.Errorf("%d entries, missing %v", a.Entries, a.Missing)
				}
			})
		}
		t.Run(name+" only a blob", func(t *testing.T) {
			t.Parallel()
			d := newDeletable(t)
			d.history(t, from, 10)
			c, q := d.readers(t, &meeting{Tier: d.held, meanwhile: func() { d.loseFirst(t, from) }})
			a, err := ask(t.Context(), c, q)
			missing, ok := errors.AsType[*bucket.MissingError](err)
			if partial := name == "partial"; partial && (err != nil || len(a.Missing) != 1 || len(a.Value) != 9) ||
				!partial && (!ok || len(missing.Keys()) != 1) {
				t.Errorf("answered %v, missing %v, error %v", a.Value, a.Missing, err)
			}
		})
	}
}

// readers are a collector and a querier that read the authority.
func (d *deletable) readers(t *testing.T, authority tiered.Tier) (*bucket.Collector[ids], *bucket.Querier[ids]) {
	t.Helper()
	blobs, err := tiered.New(idCodec{}, authority, nil)
	if err != nil {
		t.Fatal(err)
	}
	q, err := bucket.NewQuerier(d.entries(), blobs, mergeIDs, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d.collector(t, blobs, fast()), q
}

// history stores n values, one a minute.
func (d *deletable) history(t *testing.T, from time.Time, n int) {
	t.Helper()
	c := d.collector(t, d.blobs, fast())
	for i := range n {
		if err := c.Add(t.Context(), "a", ids{i}, &bucket.AddOptions{At: from.Add(time.Duration(i) * time.Minute)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (d *deletable) delete(t *testing.T, from, to time.Time) {
	t.Helper()
	deleter, err := bucket.NewDeleter(d.mem, d.held)
	if err == nil {
		_, err = deleter.Delete(context.Background(), "a", from, to, now)
	}
	if err != nil {
		t.Error(err)
	}
}

// loseFirst deletes the first blob and leaves its entry.
func (d *deletable) loseFirst(t *testing.T, from time.Time) {
	t.Helper()
	if err := d.held.Delete(context.Background(), []string{d.key(t, from, from.Add(time.Second))}); err != nil {
		t.Error(err)
	}
}

// TestDeleteWithdrawsWhatWaits deletes values that are not discoverable yet: of
// the open tick, sealed, with a blob, and stored by an attempt that failed. With
// and without a journal nothing of them comes back, also after a kill. The values
// outside of the range are stored.
func TestDeleteWithdrawsWhatWaits(t *testing.T) {
	t.Parallel()
	blobFails := faulttest.Fault{Op: faulttest.Put, Err: errBroken}
	for name, prepare := range map[string]func(d *deletable){
		"open or sealed":     nil,
		"blob fails":         func(d *deletable) { d.tier.Inject(blobFails) },
		"entry fails":        func(d *deletable) { d.rows.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken}) },
		"entry fails landed": func(d *deletable) { d.rows.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken, Applied: true}) },
	} {
		for _, withJournal := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", journal"}[withJournal], func(t *testing.T) {
				t.Parallel()
				testWithdrawal(t, prepare, withJournal)
			})
		}
	}
}

func testWithdrawal(t *testing.T, prepare func(d *deletable), withJournal bool) {
	d, j, opts := newDeletable(t), newMemJournal(), fast()
	if withJournal {
		opts.Journal = j
	}
	c := d.collector(t, d.blobs, opts)
	from, _ := hour()
	for v, at := range []time.Time{from.Add(-time.Hour), from, from.Add(time.Minute), {}} {
		if err := c.Add(t.Context(), "a", ids{v}, &bucket.AddOptions{At: at}); err != nil {
			t.Fatal(err)
		}
	}
	if prepare != nil {
		prepare(d)
		attempt, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := c.Flush(attempt); err == nil {
			t.Fatal("flushed in spite of the fault")
		}
	}
	if _, err := c.Delete(t.Context(), "a", from, time.Now().Add(time.Hour), now); err != nil {
		t.Fatal(err)
	}
	a, err := c.Range(t.Context(), "a", from.Add(-2*time.Hour), time.Now().Add(time.Hour), nil)
	wantIDs(t, "asked", a, err, ids{0})
	d.rows.Heal()
	d.tier.Heal()
	if withJournal { // killed, and started again
		j = j.afterKill(0)
		opts = fast()
		opts.Journal = j
		c = d.collector(t, d.blobs, opts)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.want(t, 1, ids{0})
	if n, m := j.live(), c.Pending(); n != 0 || m != 0 {
		t.Errorf("%d records are left in the journal, and %d bytes pending", n, m)
	}
}

// TestDeleteThatFailsIsRepeated breaks each of the stores' operations once while
// a collector deletes a tenant.
func TestDeleteThatFailsIsRepeated(t *testing.T) {
	t.Parallel()
	for name, op := range map[string]faulttest.Op{"entries": faulttest.Delete, "rows": faulttest.Query} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDeletable(t)
			from, _ := hour()
			d.history(t, from, 10)
			c := d.collector(t, d.blobs, fast())
			d.rows.Inject(faulttest.Fault{Op: op, Err: errBroken, Times: 1})
			if _, err := c.DeleteTenant(t.Context(), "a", now); !errors.Is(err, errBroken) {
				t.Errorf("error %v", err)
			}
			if _, err := c.DeleteTenant(t.Context(), "a", now); err != nil {
				t.Error(err)
			}
			d.want(t, 0, nil)
		})
	}
	t.Run("blobs", func(t *testing.T) {
		t.Parallel()
		d := newDeletable(t)
		from, to := hour()
		d.history(t, from, 10)
		c := d.collector(t, d.blobs, fast())
		d.tier.Inject(faulttest.Fault{Op: faulttest.Delete, Err: errBroken, Times: 1})
		_, err := c.Delete(t.Context(), "a", from, to, now)
		if left, ok := errors.AsType[*bucket.BlobsLeftError](err); !ok || len(left.Keys) != 10 {
			t.Fatalf("error %v", err)
		}
		d.want(t, 10, nil)
		if done, err := c.Delete(t.Context(), "a", from, to, now); err != nil || done.Orphans != 10 {
			t.Errorf("deleted %+v, %v", done, err)
		}
		d.want(t, 0, nil)
	})
}
