// Package fleet simulates a fleet of collectors and query services on a fake clock: their stores and their network
// fail, delay, hang, truncate, lie and reorder, processes are killed, clocks differ and are set. A plain model knows
// what was sent. Whatever happens, nothing that was acknowledged is lost, nothing is in an answer twice, and an
// answer lacks nothing without saying so.
//
// A run follows from its seed, except for the order in which goroutines run at the same instant. A failure prints
// the seed:
//
//	go test ./bucket/internal/fleet -run TestFleet -first SEED -seeds 1 -count 10
//	go test ./bucket/internal/fleet -run TestFleet -seeds 10000 -timeout 2h
//
// A fifth of the fleets are harsh ones, see isHarsh:
//
//	go test ./bucket/internal/fleet -run TestFleet -harsh late -seeds 1000
package fleet

import (
	"flag"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

var (
	seeds = flag.Int("seeds", 30, "how many fleets are simulated")
	first = flag.Uint64("first", 0, "the first fleet's seed")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestFleet simulates fleets. All that is counted must have happened.
func TestFleet(t *testing.T) {
	t.Parallel()
	var total tally
	var next atomic.Uint64
	t.Run("fleets", func(t *testing.T) { // ends when all shards have
		for shard := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint("shard ", shard), func(t *testing.T) {
				t.Parallel()
				for i := next.Add(1) - 1; i < uint64(*seeds); i = next.Add(1) - 1 {
					simulate(t, *first+i, &total)
				}
			})
		}
	})
	t.Logf("%d fleets: %s", *seeds, &total)
	if *seeds >= 30 && *harshly == "" {
		total.check(t)
	}
}

func simulate(t *testing.T, seed uint64, total *tally) {
	t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed, "")
			w.run()
			total.add(&w.stats)
		})
	})
}

// judge notes failures, and is not failed by them.
type judge struct {
	*testing.T
	failed atomic.Bool
	first  atomic.Pointer[string]
}

func (j *judge) fail(text string) {
	j.failed.Store(true)
	j.first.CompareAndSwap(nil, &text)
}

func (j *judge) Error(args ...any)                 { j.fail(fmt.Sprintln(args...)) }
func (j *judge) Errorf(format string, args ...any) { j.fail(fmt.Sprintf(format, args...)) }

// TestMutants lets fleets make a mistake. Some seed must find it.
func TestMutants(t *testing.T) {
	t.Parallel()
	const most = 100
	for _, m := range mutants {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(most) {
				var j *judge
				synctest.Test(t, func(t *testing.T) {
					j = &judge{T: t}
					newWorld(j, seed, m).run()
				})
				if j.failed.Load() {
					t.Logf("found by seed %d: %s", seed, *j.first.Load())
					return
				}
			}
			t.Errorf("%d fleets do not find it", most)
		})
	}
}

// TestWhatAFailedDeletionLeaves checks which blobs may be missing after a deletion of a tenant failed: blobs of values that it concerned, until
// another deletion has taken them.
func TestWhatAFailedDeletionLeaves(t *testing.T) {
	t.Parallel()
	at := func(at int64) *value {
		return &value{tenant: "a", node: new(node), acked: true, earliest: at - 1, latest: at, at: at}
	}
	m := &model{values: []*value{at(10), at(20)}}
	m.values[1].at = 0 // not known to be stored
	d := &deletion{tenant: "a", whole: true}
	m.deletes(d)
	m.deleted(d, nil, errStore)
	m.values = append(m.values, at(30)) // came later
	for at, want := range map[int64]bool{10: true, 20: true, 30: false, 40: false} {
		if m.leftAt("a", at) != want || m.leftAt("b", at) {
			t.Errorf("at %d: %v and %v, want %v and false", at, !want, m.leftAt("b", at), want)
		}
	}
	m.values = append(m.values, at(20))
	if m.leftAt("a", 20) {
		t.Error("a value that came later has an instant that a deletion may have left")
	}
	again := &deletion{tenant: "a", whole: true}
	m.deletes(again)
	m.deleted(again, nil, nil)
	if m.leftAt("a", 10) {
		t.Error("a deletion that was repeated has left something")
	}
}
