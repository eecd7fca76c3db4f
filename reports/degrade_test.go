package reports

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

// peerList are peers in a list.
type peerList []Peer

func (l peerList) Known() []Peer           { return l }
func (peerList) Unknown() []string         { return nil }
func (peerList) Run(context.Context) error { return nil }

// memoryPeer is a collector in this process whose answers take a while.
type memoryPeer struct {
	*Collector
	delay time.Duration
}

func (memoryPeer) Name() string { return "memory:1" }

func (p memoryPeer) Held(ctx context.Context, tenant string, from, to time.Time) (Holdings, error) {
	time.Sleep(p.delay)
	return p.Collector.Held(ctx, tenant, from, to)
}

func (p memoryPeer) Live(ctx context.Context, tenant string) (Answer, error) {
	return p.Ask(ctx, tenant, Question{To: p.AfterNow()})
}

// storeFaults are ways in which a store fails, and how long an answer about now
// may then take at most beside the time that collectors take.
var storeFaults = map[string]struct {
	index []faulttest.Fault
	blobs []faulttest.Fault
	took  time.Duration
}{
	"the index hangs": {index: []faulttest.Fault{{Op: faulttest.Query, Hang: true}}, took: time.Second},
	"the index fails": {index: []faulttest.Fault{{Op: faulttest.Query, Err: errors.New("away")}}},
	"the blobs hang":  {blobs: []faulttest.Fault{{Op: faulttest.Get, Hang: true}}, took: time.Second},
	"the blobs fail":  {blobs: []faulttest.Fault{{Op: faulttest.Get, Err: errors.New("away")}}},
}

// TestQuerierWithoutStoreInTime checks that when the store hangs, an answer about now
// comes from the collectors' memory within the store timeout, and says what it
// lacks. The time that collectors take does not count.
func TestQuerierWithoutStoreInTime(t *testing.T) {
	t.Parallel()
	for name, c := range storeFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				idx, blobs := faulttest.NewIndex(index.NewMemIndex(), 1), faulttest.NewTier(new(tiered.MemTier), 1)
				p := memoryPeer{delay: 2 * time.Second}
				var err error
				if p.Collector, err = New(idx, blobs, nil); err != nil {
					t.Fatal(err)
				}
				q, err := NewQuerier(idx, blobs, peerList{p}, &QuerierOptions{Store: tiered.Options[*report.Report]{Memory: -1}})
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(p.Add(t.Context(), "a", hosts("h1"), Origin{}), p.Flush(t.Context()), p.Add(t.Context(), "a", hosts("h2"), Origin{})); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Millisecond)
				for _, fault := range c.index {
					idx.Inject(fault)
				}
				for _, fault := range c.blobs {
					blobs.Inject(fault)
				}
				begun := time.Now()
				a, err := q.Report(t.Context(), "a", q.AfterNow())
				took := time.Since(begun)
				if err != nil || !slices.Equal(a.Missing, []string{MissingStore}) || took > p.delay+c.took {
					t.Fatalf("missing %q, error %v after %v", a.Missing, err, took)
				}
				equal(t, a.Report, merged(t, hosts("h1"), hosts("h2")))
				idx.Heal()
				blobs.Heal()
				if a, err = q.Report(t.Context(), "a", q.AfterNow()); err != nil || len(a.Missing) > 0 {
					t.Errorf("when the store is well again: missing %q, error %v", a.Missing, err)
				}
				if err := errors.Join(q.Close(t.Context()), p.Close(t.Context())); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestCollectorWithoutStoreInTime checks that a collector that is alone and has just
// started answers about now from memory when the store hangs, and says what the
// answer lacks.
func TestCollectorWithoutStoreInTime(t *testing.T) {
	t.Parallel()
	for name, c := range storeFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				idx, blobs := faulttest.NewIndex(index.NewMemIndex(), 1), faulttest.NewTier(new(tiered.MemTier), 1)
				opts := &Options{Live: bucket.CollectorOptions[*report.Report]{Alone: true}, Store: tiered.Options[*report.Report]{Memory: -1}}
				before, err := New(idx, blobs, opts)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(before.Add(t.Context(), "a", hosts("h1"), Origin{}), before.Close(t.Context())); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				now, err := New(idx, blobs, opts)
				if err != nil {
					t.Fatal(err)
				}
				if err := now.Add(t.Context(), "a", hosts("h2"), Origin{}); err != nil {
					t.Fatal(err)
				}
				for _, fault := range c.index {
					idx.Inject(fault)
				}
				for _, fault := range c.blobs {
					blobs.Inject(fault)
				}
				for _, onlyFound := range []bool{false, true} {
					begun := time.Now()
					a, err := now.Ask(t.Context(), "a", Question{To: now.AfterNow(), OnlyFound: onlyFound})
					took := time.Since(begun)
					if err != nil || !a.Found || !slices.Equal(a.Missing, []string{MissingStore}) || took > c.took {
						t.Fatalf("found %v, missing %q, error %v after %v", a.Found, a.Missing, err, took)
					}
					equal(t, a.Report, hosts("h2"))
				}
				idx.Heal()
				blobs.Heal()
				a, err := now.Ask(t.Context(), "a", Question{To: now.AfterNow()})
				if err != nil || len(a.Missing) > 0 {
					t.Fatalf("when the store is well again: missing %q, error %v", a.Missing, err)
				}
				equal(t, a.Report, merged(t, hosts("h1"), hosts("h2")))
				if err := now.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// slowPeer is a collector that takes two seconds to answer, and seals a tick before each answer. Meanwhile another collector stores
// a report.
type slowPeer struct {
	memoryPeer
	other *Collector
	asked int
}

func (*slowPeer) Name() string { return "slow:1" }

func (p *slowPeer) Held(ctx context.Context, tenant string, from, to time.Time) (Holdings, error) {
	p.asked++
	gone, leave := context.WithCancel(ctx)
	leave()
	err := p.Add(ctx, tenant, hosts("slow"), Origin{})
	_ = p.Flush(gone) // which seals
	h, heldErr := p.Collector.Held(ctx, tenant, from, to)
	time.Sleep(2 * time.Second)
	return h, errors.Join(err, heldErr, p.other.Add(ctx, tenant, hosts("other"), Origin{}), p.other.Flush(ctx))
}

// TestASlowCollectorThatSeals asks about now while a collector never answers before it has sealed its next tick. The answer comes after a
// few seconds, without this collector, and names it.
func TestASlowCollectorThatSeals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idx, blobs := index.NewMemIndex(), new(tiered.MemTier)
		other, err := New(idx, blobs, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := &slowPeer{other: other}
		if p.Collector, err = New(idx, blobs, nil); err != nil {
			t.Fatal(err)
		}
		q, err := NewQuerier(idx, blobs, peerList{p, memoryPeer{Collector: other}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		a, err := q.Report(t.Context(), "a", q.AfterNow())
		if took := time.Since(begun); err != nil || took > 10*time.Second || !slices.Equal(a.Missing, []string{p.Name()}) {
			t.Errorf("missing %q, error %v after %v, asked %d times", a.Missing, err, took, p.asked)
		}
		if err := errors.Join(q.Close(t.Context()), p.Close(t.Context()), other.Close(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// TestPatienceAddsUp checks that a question waits for the store for its limit at a time, and three times as long in all. The time in which
// collectors are asked does not count.
func TestPatienceAddsUp(t *testing.T) {
	t.Parallel()
	for _, rounds := range []int{0, 3, 4} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			p := newPatience(time.Second, cancel)
			p.start()
			for range rounds {
				time.Sleep(700 * time.Millisecond)
				p.pause()
				p.pause()
				time.Sleep(time.Minute)
				p.resume()
				p.resume()
			}
			last := min(time.Second, 3*time.Second-time.Duration(rounds)*700*time.Millisecond)
			if time.Sleep(last - time.Millisecond); ctx.Err() != nil {
				t.Errorf("after %d rounds it ended before its time", rounds)
			}
			time.Sleep(2 * time.Millisecond)
			if synctest.Wait(); context.Cause(ctx) != errStoreSlow {
				t.Errorf("after %d rounds it ended with %v", rounds, context.Cause(ctx))
			}
			p.stop()
		})
	}
}

// TestAQuestionThatEndsSaysNothingOfItsCollectors ends a question while it asks a collector that answered before.
func TestAQuestionThatEndsSaysNothingOfItsCollectors(t *testing.T) {
	t.Parallel()
	ended, end := context.WithCancel(t.Context())
	end()
	f := setup(t, nil)
	for _, told := range []bool{true, false} {
		c := &call{peer: memoryPeer{Collector: f.Collector}, hub: f.hub, now: f.now, told: told}
		if _, err := c.Held(ended, "a", noon, noon.Add(time.Minute)); !errors.Is(err, context.Canceled) || c.err != nil || c.told != told {
			t.Errorf("told %v: error %v, noted %v, told %v", told, err, c.err, c.told)
		}
	}
}
