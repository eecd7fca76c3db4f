package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/internal/logtest"
	"github.com/timeblob/timeblob/tiered"
)

func journaled(j bucket.Journal) *bucket.CollectorOptions[ids] {
	o := fast()
	o.Journal = j
	return o
}

// killing adds values to a chain of collectors that are killed again and again.
type killing struct {
	t       *testing.T
	stores  *stores
	rng     *rand.Rand
	journal *memJournal
	next    int
	taken   map[string]ids

	opts   func(bucket.Journal) *bucket.CollectorOptions[ids]
	kill   func()           // what a kill does beside
	refuse func(error) bool // whether an Add may fail so
}

func newKilling(t *testing.T, s *stores, seed uint64) *killing {
	return &killing{t: t, stores: s, rng: rand.New(rand.NewPCG(seed, 1)), journal: newMemJournal(), taken: make(map[string]ids),
		opts: journaled, kill: func() {}, refuse: func(error) bool { return false }}
}

// check delivers the rest, and looks for every value that was taken among the stored ones.
func (k *killing) check(heal func()) {
	k.t.Helper()
	c := k.stores.collector(k.t, k.opts(k.journal))
	if err := c.Close(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
	k.kill() // what was stored survives
	heal()
	for tenant, want := range k.taken {
		slices.Sort(want)
		wantIDs(k.t, tenant, k.stores.stored(k.t, tenant), nil, want)
	}
	if n := k.journal.live(); n != 0 {
		k.t.Errorf("%d records are left in the journal", n)
	}
}

// add adds a value in one of several ways, and some of them twice.
func (k *killing) add(c *bucket.Collector[ids]) {
	v, tenant := k.next, fmt.Sprint("t", k.rng.IntN(3))
	k.next++
	opts := &bucket.AddOptions{}
	if k.rng.IntN(4) == 0 {
		opts.At = time.Now().Add(-time.Duration(k.rng.IntN(1000)) * time.Second)
	}
	again := k.rng.IntN(3) == 0
	if again {
		opts.ID = fmt.Sprint("id", v)
	}
	for range 2 {
		if err := k.addOnce(c, tenant, v, opts); err != nil {
			if k.refuse(err) {
				return
			}
			k.t.Fatal(err)
		}
		if !again {
			break
		}
	}
	k.taken[tenant] = append(k.taken[tenant], v)
}

func (k *killing) addOnce(c *bucket.Collector[ids], tenant string, v int, opts *bucket.AddOptions) error {
	if v%2 == 0 {
		return c.Add(k.t.Context(), tenant, ids{v}, opts)
	}
	e := bucket.Encoded[ids]{Blob: fmt.Appendf(nil, "[ %d ]", v), Decode: func() (ids, error) { return ids{v}, nil }}
	return c.AddBlob(k.t.Context(), tenant, e, opts)
}

// life is one process: it adds and flushes until it is killed at some moment.
func (k *killing) life() {
	c := k.stores.collector(k.t, k.opts(k.journal))
	for range k.rng.IntN(8) {
		for range k.rng.IntN(4) {
			k.add(c)
		}
		ctx, cancel := context.WithTimeout(k.t.Context(), time.Duration(k.rng.IntN(2000))*time.Microsecond)
		if err := c.Flush(ctx); err != nil && ctx.Err() == nil {
			k.t.Fatal(err)
		}
		cancel()
	}
	k.kill()
	k.journal = k.journal.afterKill(k.rng.IntN(4))
}

// TestKillsLoseNothing kills collectors at random moments, while the stores
// fail, also in spite of having done what was asked. The last calls of End are
// lost. Each value that was acknowledged must be stored exactly once.
func TestKillsLoseNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				k := newKilling(t, newStores(t), seed)
				k.stores.flaky()
				k.stores.tier.Inject(faulttest.Fault{Op: faulttest.Put, Chance: 0.5, Delay: 200 * time.Microsecond})
				for range 6 {
					k.life()
				}
				k.check(func() { k.stores.index.Heal(); k.stores.tier.Heal() })
			})
		})
	}
}

// TestIDsAreRecognisedAfterARestart adds a value again to the next process, both
// while it waits and after it was stored.
func TestIDsAreRecognisedAfterARestart(t *testing.T) {
	t.Parallel()
	for _, flushed := range []bool{false, true} {
		s, j := newStores(t), newMemJournal()
		opts := &bucket.AddOptions{ID: "report"}
		first := s.collector(t, journaled(j))
		if err := first.Add(t.Context(), "a", ids{1}, opts); err != nil {
			t.Fatal(err)
		}
		if flushed {
			if err := first.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		next := s.collector(t, journaled(j.afterKill(0)))
		if err := next.Add(t.Context(), "a", ids{1}, opts); err != nil {
			t.Fatal(err)
		}
		if err := next.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantIDs(t, fmt.Sprint("flushed before ", flushed), s.stored(t, "a"), nil, ids{1})
	}
}

// TestARefusedValueMayComeAgain refuses a value after the journal took it. The
// client sends it again, and a replay must not take that for a repetition.
func TestARefusedValueMayComeAgain(t *testing.T) {
	t.Parallel()
	s, j := newStores(t), newMemJournal()
	c := s.collector(t, journaled(j))
	mustAdd(t, c, "a", 1)
	opts := &bucket.AddOptions{ID: "report"}
	bad := bucket.Encoded[ids]{Blob: []byte("[2]"), Check: func() error { return nil }, Decode: func() (ids, error) { return nil, errBroken }}
	if err := c.AddBlob(t.Context(), "a", bad, opts); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	good := bucket.Encoded[ids]{Blob: []byte("[2]"), Decode: func() (ids, error) { return ids{2}, nil }}
	if err := c.AddBlob(t.Context(), "a", good, opts); err != nil {
		t.Fatal(err)
	}
	c = s.collector(t, journaled(j.afterKill(0)))
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, "stored", s.stored(t, "a"), nil, ids{1, 2})
}

// TestAJournalThatFails refuses values with a typed error, and takes them again
// later.
func TestAJournalThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, j := newStores(t), newMemJournal()
		c := s.collector(t, &bucket.CollectorOptions[ids]{Journal: j})
		full := errors.New("full")
		j.fail.Store(&full)
		err := c.Add(t.Context(), "a", ids{1}, nil)
		if _, typed := errors.AsType[*bucket.JournalError](err); !typed || !errors.Is(err, full) {
			t.Errorf("a journal that fails: %v", err)
		}
		j.hang.Store(true)
		err = c.Add(t.Context(), "a", ids{2}, nil)
		if _, typed := errors.AsType[*bucket.JournalError](err); !typed {
			t.Errorf("a journal that hangs: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Add(ctx, "a", ids{3}, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller that leaves: %v", err)
		}
		j.hang.Store(false)
		j.fail.Store(nil)
		mustAdd(t, c, "a", 4)
		j.fail.Store(&full) // what is in the journal cannot be delivered without a record of its key
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var left *bucket.UndeliveredError
		if err := c.Flush(ctx); !errors.As(err, &left) || !errors.Is(err, full) || s.tier.Calls(faulttest.Put) > 0 {
			t.Errorf("%v, after %d puts", err, s.tier.Calls(faulttest.Put))
		}
		j.fail.Store(nil)
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		v, err := c.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now(), nil)
		wantIDs(t, "what was acknowledged", v, err, ids{4})
	})
}

// TestValuesRestInTheJournal takes the stores away: what left the live window
// takes some hundred bytes of memory, is in every answer, and is stored when they are back.
func TestValuesRestInTheJournal(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]faulttest.Fault{
		"refused": {Op: faulttest.Put, Err: errBroken},
		"hanging": {Op: faulttest.Put, Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, j := newStores(t), newMemJournal()
				c := s.collector(t, &bucket.CollectorOptions[ids]{Journal: j})
				go func() { _ = c.Run(context.Background()) }()
				s.tier.Inject(fault)
				begun := time.Now()
				for i := range 100 {
					mustAdd(t, c, "a", 2*i)
					mustAddBlob(t, c, "a", 2*i+1)
					time.Sleep(time.Second)
				}
				time.Sleep(time.Minute)
				if n, w := c.Pending(), int64(len(waitingOf(t, c, "a"))); w == 0 || n < 500*w || n > 100*700 {
					t.Errorf("%d values take %d bytes of memory", w, n)
				}
				v, err := c.Range(t.Context(), "a", begun.Add(-time.Hour), time.Now(), nil)
				wantIDs(t, "meanwhile", v, err, upTo(200))
				s.tier.Heal()
				if err := c.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				wantIDs(t, "stored", s.stored(t, "a"), nil, upTo(200))
				if n := j.live(); n != 0 {
					t.Errorf("%d records are left in the journal", n)
				}
			})
		})
	}
}

// countdown is a store that takes small blobs, and kills the collector at one of the next puts.
type countdown struct {
	limited
	left atomic.Int64
	kill atomic.Pointer[context.CancelFunc]
}

func (c *countdown) Put(ctx context.Context, key string, blob []byte) error {
	if c.left.Add(-1) == 0 {
		(*c.kill.Load())()
	}
	return c.limited.Put(ctx, key, blob)
}

// TestALargeTickIsSplitAcrossKills adds seven values that the store takes only
// one by one, and kills the collector while it splits them.
func TestALargeTickIsSplitAcrossKills(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { splitAcrossKills(t, seed) })
		})
	}
}

func splitAcrossKills(t *testing.T, seed uint64) {
	rng, store := rand.New(rand.NewPCG(seed, 2)), &countdown{limited: limited{limit: 640 << 10}}
	tier := faulttest.NewTier(store, seed)
	tier.Inject(faulttest.Fault{Op: faulttest.Put, Chance: 0.3, Err: errBroken, Applied: true})
	s, j := newTextStores(t, tier), newMemJournal()
	c := s.collector(t, j)
	for i := range 7 {
		if err := c.Add(t.Context(), "a", largeText(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		store.left.Store(1 + rng.Int64N(5))
		store.kill.Store(&cancel)
		_ = c.Flush(ctx)
		cancel()
		j = j.afterKill(rng.IntN(3))
		c = s.collector(t, j)
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	tier.Heal()
	s.want(t, seed, 7)
}

// TestAJournalNeedsADecoder refuses stores that cannot read the journal's blobs.
func TestAJournalNeedsADecoder(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	only := struct{ bucket.Blobs[ids] }{s.blobs}
	if _, err := bucket.NewCollector(s.index, only, mergeIDs, journaled(newMemJournal())); err == nil {
		t.Error("taken")
	}
	var _ bucket.Decoder[ids] = (*tiered.Store[ids])(nil)
}

// TestTheJournalIsToldOnceToRefuse has a journal that is nearly full take one value and refuse the next, again and again. The log has a
// line when that begins and one when it is over.
func TestTheJournalIsToldOnceToRefuse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, j, full, lines := newStores(t), newMemJournal(), errors.New("full"), &logtest.Journal{}
		opts := journaled(j)
		opts.Logger = lines.Logger()
		c := s.collector(t, opts)
		for range 50 {
			j.fail.Store(&full)
			if err := c.Add(t.Context(), "a", ids{1}, nil); !errors.Is(err, full) {
				t.Fatal(err)
			}
			j.fail.Store(nil)
			time.Sleep(time.Second / 10)
			mustAdd(t, c, "a", 2)
		}
		time.Sleep(time.Minute)
		mustAdd(t, c, "a", 3, 4)
		if refuses, takes := lines.Lines("the journal takes no values"), lines.Lines("the journal takes values again"); refuses != 1 || takes != 1 {
			t.Errorf("told %d and %d times", refuses, takes)
		}
		closeSoon(t, c)
	})
}
