package bucket_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/journal"
)

// arrived is the kind of a record that holds a value.
const arrived = 1

// trouble is what happens to the journals of a chain of collectors.
type trouble struct {
	*killing
	mu     sync.Mutex // guards what follows
	dice   *rand.Rand
	over   bool            // nothing fails any more, but what is damaged stays so
	bad    map[uint64]bool // records that are damaged
	values map[uint64]int  // of records
	told   map[int]bool    // values that Failed was told of
}

// one is true in one of n throws, until the trouble is over.
func (x *trouble) one(n int) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return !x.over && x.dice.IntN(n) == 0
}

// troubled is a journal that is full at times, cannot read at times, and has damaged records.
type troubled struct {
	*memJournal
	*trouble
}

func (j troubled) Append(ctx context.Context, kind byte, meta, blob []byte) (id uint64, err error) {
	if j.one(8) {
		return 0, errBroken
	}
	if id, err = j.memJournal.Append(ctx, kind, meta, blob); err != nil || kind != arrived {
		return id, err
	}
	var v ids
	if err := json.Unmarshal(blob, &v); err != nil {
		return 0, err
	}
	j.trouble.mu.Lock()
	defer j.trouble.mu.Unlock()
	j.values[id] = v[0]
	return id, nil
}

func (j troubled) Read(id uint64) (kind byte, meta, blob []byte, err error) {
	j.trouble.mu.Lock()
	bad := j.bad[id]
	j.trouble.mu.Unlock()
	switch {
	case bad:
		return 0, nil, nil, &journal.CorruptError{ID: id}
	case j.one(5):
		return 0, nil, nil, errBroken
	}
	return j.memJournal.Read(id)
}

// failed notes what Failed is told.
func (x *trouble) failed(_ string, _ ids, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	corrupt, ok := errors.AsType[*journal.CorruptError](err)
	if !ok || !x.bad[corrupt.ID] {
		x.t.Errorf("told %v", err)
		return
	}
	x.told[x.values[corrupt.ID]] = true
}

// damage damages some of the records that the next process finds.
func (x *trouble) damage() {
	for id := range x.journal.last + 1 {
		if r := x.journal.records[id]; r != nil && !r.done && r.kind == arrived && x.one(10) {
			x.mu.Lock()
			x.bad[id] = true
			x.mu.Unlock()
		}
	}
}

// check delivers the rest. Each value that was taken is stored once, or Failed was told of it.
func (x *trouble) check(t *testing.T) {
	t.Helper()
	x.mu.Lock()
	x.over = true
	x.mu.Unlock()
	c := x.stores.collector(t, x.opts(x.journal))
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.kill()
	x.stores.index.Heal()
	x.stores.tier.Heal()
	for tenant, want := range x.taken {
		want = slices.DeleteFunc(want, func(v int) bool { return x.told[v] })
		slices.Sort(want)
		wantIDs(t, tenant, x.stores.stored(t, tenant), nil, want)
	}
}

// TestTroubleOfTheJournal kills collectors at random moments. Their stores fail, also in spite of having done what was asked. Their
// journals are full at times, cannot read at times, and have damaged records. Each value that was acknowledged is stored exactly
// once, or was told.
func TestTroubleOfTheJournal(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { makeTrouble(t, seed) })
		})
	}
}

func makeTrouble(t *testing.T, seed uint64) {
	s, options := newStores(t), journaled
	x := &trouble{dice: rand.New(rand.NewPCG(seed, 3)), bad: make(map[uint64]bool), values: make(map[uint64]int), told: make(map[int]bool)}
	lose := func() {}
	if seed%2 == 1 {
		co := &committer{index: index.NewMemIndex(), fault: func(n int) (f faulttest.Fault) {
			if n%5 == 0 {
				f = faulttest.Fault{Err: errBroken, Applied: n%2 == 0}
			}
			return f
		}}
		s, options = co.stores(t), synced(co, func() bool { return x.one(3) }, threeTenants...)
		lose = func() { co.lose(threeTenants...) }
	} else {
		s.flaky()
	}
	x.killing = newKilling(t, s, seed)
	x.kill = lose
	x.opts = func(j bucket.Journal) *bucket.CollectorOptions[ids] {
		o := options(troubled{j.(*memJournal), x})
		o.Failed, o.MaxBackoff = x.failed, 10*time.Second
		return o
	}
	x.refuse = func(err error) bool {
		_, refused := errors.AsType[*bucket.JournalError](err)
		return refused
	}
	for range 8 {
		x.life()
		x.damage()
	}
	x.check(t)
}
