package programs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/bucket/internal/idstest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/remote"
	"github.com/timeblob/timeblob/tiered"
)

// member is a collector of a program, in this process or in one of its own.
type member interface {
	bucket.Source[ids]
	bucket.TenantSource
	remote.Questions[ids]
	remote.Presence
	remote.TenantLister
	At(ctx context.Context, tenant string, at time.Time, opts *bucket.RangeOptions) (bucket.Answer[ids], error)
	Add(ctx context.Context, tenant string, v ids, opts *bucket.AddOptions) error
	Delete(ctx context.Context, tenant string, from, to time.Time, opts *bucket.DeleteOptions) (bucket.Deleted, error)
	DeleteTenant(ctx context.Context, tenant string, opts *bucket.DeleteOptions) (bucket.Deleted, error)
	Flush(ctx context.Context) error
	// RollUpBetween builds the roll-ups that a tenant's range misses, or verifies
	// them.
	RollUpBetween(ctx context.Context, tenant string, from, to time.Time, verify bool) error
	Close(ctx context.Context) error
}

var _ member = (*inside)(nil)

// world starts the members of a program.
type world struct {
	members int
	mode    mode
	// start starts a member, again after its Close.
	start func(t rapid.TB, member int, now func() time.Time) member
	// querier returns a querier of the members' stores, while they run.
	querier func(t rapid.TB, now func() time.Time) *bucket.Querier[ids]
	// stores returns the members' stores, while they run.
	stores func() stack
}

// mode says what is special about a world's levels.
type mode struct {
	Off    bool // there are none
	Retain bool // entries expire before their roll-ups
	Mute   bool // the index does not tell its versions
}

// stack is an index, an authority and caches, as one process has them.
type stack struct {
	index     index.Index
	authority tiered.Tier
	caches    []tiered.Cache
	committer index.Committer
	close     func() error
}

// hours is the window and the tick of all collectors: no tick ends by itself.
const hours = 100 * time.Hour

// inside is a collector in this process, with stores of its own.
type inside struct {
	*bucket.Collector[ids]
	stack stack
	store *tiered.Store[ids]
}

// clocked is an index whose store has the program's time.
type clocked struct {
	wholeIndex
	now func() time.Time
}

type wholeIndex interface {
	index.Index
	index.Deleter
	index.Places
	index.TenantLister
}

func (c clocked) StoreTime() time.Time { return c.now() }

// versioned is an index in this process.
type versioned interface {
	index.Scanner
	index.Versioned
}

// clock returns an index with the program's time. Long ranges are read as before. A
// mute index does not tell its versions.
func clock(idx index.Index, now func() time.Time, mute bool) index.Index {
	c := clocked{idx.(wholeIndex), now}
	switch x := idx.(type) {
	case versioned:
		if mute {
			return struct {
				clocked
				index.Scanner
			}{c, x}
		}
		return struct {
			clocked
			versioned
		}{c, x}
	case entryLister:
		return struct {
			clocked
			entryLister
		}{c, x}
	}
	return c
}

// entryLister reads a tenant's entries of any range.
type entryLister interface {
	Entries(ctx context.Context, tenant string, from, to int64) iter.Seq2[index.Entry, error]
}

// RollUpBetween implements member.
func (l *inside) RollUpBetween(ctx context.Context, tenant string, from, to time.Time, verify bool) error {
	done, err := l.RollUp(ctx, tenant, from, to, &bucket.RollUpOptions{Verify: verify})
	if _, early := errors.AsType[*bucket.TooSoonError](err); early {
		return nil // the first builder has just published the settings
	}
	if err == nil && done.Failed+done.Differ+done.Void > 0 {
		err = fmt.Errorf("built %+v: none may fail, differ or be void", done)
	}
	return err
}

// levels are some that values of a program share.
func (m mode) levels() *bucket.LevelOptions {
	const day = 24 * time.Hour
	o := &bucket.LevelOptions{Spans: []time.Duration{10 * time.Minute, 2 * time.Hour, day},
		AllKnow: true, Linger: time.Nanosecond, Cores: 3}
	switch {
	case m.Off:
		return nil
	case m.Retain:
		o.Retention = []bucket.Retention{{Level: 0, Keep: 3 * day}, {Level: 10 * time.Minute, Keep: 6 * day},
			{Level: 2 * time.Hour, Keep: 10 * day}, {Level: day}}
	}
	return o
}

// newInside makes a collector on a stack.
func newInside(s stack, alone bool, levels mode, now func() time.Time) (*inside, error) {
	store, err := tiered.New(idstest.Codec{}, s.authority, &tiered.Options[ids]{Caches: s.caches})
	if err != nil {
		return nil, err
	}
	s.index = clock(s.index, now, levels.Mute)
	c, err := bucket.NewCollector(s.index, store, idstest.Merge, &bucket.CollectorOptions[ids]{Tick: hours, Window: hours, Alone: alone,
		Committer: s.committer, Now: now, Past: bucket.QuantizerOptions[ids]{Quantum: time.Second, Levels: levels.levels()}})
	if err != nil {
		return nil, err
	}
	return &inside{c, s, store}, nil
}

// Close closes the collector and its stores.
func (l *inside) Close(ctx context.Context) error {
	return errors.Join(l.Collector.Close(ctx), l.store.Close(ctx), l.stack.close())
}

// here is a world of collectors in this process. The querier reads through the
// last one's stores.
func here(members int, levels mode, open func(t rapid.TB) stack) world {
	var last *inside
	start := func(t rapid.TB, _ int, now func() time.Time) member {
		l, err := newInside(open(t), members == 1, levels, now)
		if err != nil {
			t.Fatal(err)
		}
		last = l
		return l
	}
	querier := func(t rapid.TB, now func() time.Time) *bucket.Querier[ids] {
		return newQuerier(t, last.stack.index, last.store, now)
	}
	return world{members, levels, start, querier, func() stack { return last.stack }}
}

func newQuerier(t rapid.TB, idx index.Index, store *tiered.Store[ids], now func() time.Time) *bucket.Querier[ids] {
	q, err := bucket.NewQuerier(idx, store, idstest.Merge, &bucket.QuantizerOptions[ids]{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return q
}
