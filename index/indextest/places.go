package indextest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/index"
)

// RunPlaces checks that an index which offers index.Places keeps that
// interface's promises. Open returns an index without any places; it may
// share its store with other tests, since every check has a tenant of its own.
func RunPlaces(t *testing.T, open func(t *testing.T) index.Index) {
	t.Helper()
	for name, check := range map[string]func(*testing.T, index.Index, index.Places){
		"an empty place is swapped once":        placeOnce,
		"a swap needs the last ID":              placeLastID,
		"a range is ascending and half open":    placeRange,
		"sets do not see each other":            placeSets,
		"a state comes back to the byte":        placeState,
		"places and entries are apart":          placeEntries,
		"one of many swaps wins":                placeRace,
		"a chain of swaps loses none":           placeChain,
		"many places":                           placeMany,
		"a swap is seen by a later read":        placeSeen,
		"an ended context is an error":          placeContext,
		"the store's time is near this clock's": placeTime,
		"an expired place is empty":             placeExpired,
		"as a model":                            placeModel,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := open(t)
			places, ok := x.(index.Places)
			if !ok {
				t.Skip("the index offers no places")
			}
			check(t, x, places)
		})
	}
}

// minutes returns a set of places for a tenant that no other check uses.
func minutes() index.PlaceSet {
	return index.PlaceSet{Tenant: "places-" + rand.Text(), Level: time.Minute}
}

func swap(t testing.TB, x index.Places, set index.PlaceSet, old string, next index.Place, want bool) {
	t.Helper()
	if got, err := x.SwapPlace(t.Context(), set, old, next); got != want || err != nil {
		t.Fatalf("swap of place %d from %q to %q: %v, %v, want %v", next.Start, old, next.ID, got, err, want)
	}
}

func places(t testing.TB, x index.Places, set index.PlaceSet, from, to int64) []index.Place {
	t.Helper()
	got, err := x.Places(t.Context(), set, from, to)
	if err != nil {
		t.Fatalf("places of [%d, %d): %v", from, to, err)
	}
	return got
}

func ids(list []index.Place) (all []string) {
	for _, p := range list {
		all = append(all, fmt.Sprintf("%d:%s", p.Start, p.ID))
	}
	return all
}

func wantIDs(t testing.TB, got []index.Place, want ...string) {
	t.Helper()
	if !slices.Equal(ids(got), want) {
		t.Fatalf("places %q, want %q", ids(got), want)
	}
}

func placeOnce(t *testing.T, _ index.Index, x index.Places) {
	set := minutes()
	swap(t, x, set, "absent", index.Place{Start: 60, ID: "a"}, false)
	wantIDs(t, places(t, x, set, 0, 100))
	swap(t, x, set, "", index.Place{Start: 60, ID: "b"}, true)
	swap(t, x, set, "", index.Place{Start: 60, ID: "c"}, false)
	wantIDs(t, places(t, x, set, 0, 100), "60:b")
}

func placeLastID(t *testing.T, _ index.Index, x index.Places) {
	set := minutes()
	swap(t, x, set, "", index.Place{Start: 0, ID: "a", State: []byte("1")}, true)
	swap(t, x, set, "a", index.Place{Start: 0, ID: "b", State: []byte("2")}, true)
	swap(t, x, set, "a", index.Place{Start: 0, ID: "c", State: []byte("3")}, false)
	got := places(t, x, set, 0, 1)
	wantIDs(t, got, "0:b")
	if string(got[0].State) != "2" {
		t.Fatalf("state %q, want the one of the last swap that took effect", got[0].State)
	}
}

func placeRange(t *testing.T, _ index.Index, x index.Places) {
	set, minute := minutes(), int64(time.Minute)
	for _, n := range []int64{3, -2, 0, 1, 472222 * 60} {
		swap(t, x, set, "", index.Place{Start: n * minute, ID: fmt.Sprint("p", n)}, true)
	}
	wantIDs(t, places(t, x, set, 0, 3*minute), "0:p0", fmt.Sprintf("%d:p1", minute))
	wantIDs(t, places(t, x, set, 1, minute+1), fmt.Sprintf("%d:p1", minute))
	wantIDs(t, places(t, x, set, -2*minute, 0), fmt.Sprintf("%d:p-2", -2*minute))
	wantIDs(t, places(t, x, set, 5, 5))
	wantIDs(t, places(t, x, set, 9, 2))
	if got := places(t, x, set, -2*minute, math.MaxInt64/2); len(got) != 5 {
		t.Fatalf("places of all: %q", ids(got))
	}
}

func placeSets(t *testing.T, _ index.Index, x index.Places) {
	set := minutes()
	others := []index.PlaceSet{
		{Tenant: set.Tenant, Level: time.Hour}, {Tenant: set.Tenant, Level: 0},
		{Tenant: set.Tenant + "-", Level: time.Minute}, {Tenant: set.Tenant + "-1", Level: time.Minute},
	}
	swap(t, x, set, "", index.Place{Start: 0, ID: "mine"}, true)
	for i, other := range others {
		wantIDs(t, places(t, x, other, -1, 1))
		swap(t, x, other, "", index.Place{Start: 0, ID: fmt.Sprint("other", i)}, true)
	}
	wantIDs(t, places(t, x, set, -1, 1), "0:mine")
}

func placeState(t *testing.T, _ index.Index, x index.Places) {
	set := minutes()
	state := make([]byte, 1024)
	_, _ = rand.Read(state)
	swap(t, x, set, "", index.Place{Start: 7, ID: "full", State: state, Expires: 1 << 40}, true)
	swap(t, x, set, "", index.Place{Start: 8, ID: "empty"}, true)
	clear := bytes.Clone(state)
	for i := range state {
		state[i] = 0 // the index keeps its own copy
	}
	got := places(t, x, set, 7, 9)
	wantIDs(t, got, "7:full", "8:empty")
	if !bytes.Equal(got[0].State, clear) || got[0].Expires != 1<<40 || len(got[1].State) != 0 {
		t.Fatalf("places %+v do not hold what was written", got)
	}
}

// placeEntries checks that questions about entries do not see places.
func placeEntries(t *testing.T, x index.Index, p index.Places) {
	set := minutes()
	row := index.RowAt(set.Tenant, 0)
	e := index.Entry{Time: 5, Key: "blob"}
	swap(t, p, set, "", index.Place{Start: 0, ID: "a", State: []byte("state")}, true)
	if err := x.Put(t.Context(), row, e); err != nil {
		t.Fatal(err)
	}
	got, err := x.Query(t.Context(), row, row.Start(), row.End())
	if err != nil || len(got) != 1 || !got[0].Same(e) {
		t.Fatalf("query of a row beside a place: %v, %v, want %v", got, err, e)
	}
	if s, ok := x.(index.Scanner); ok {
		for e, err := range s.Scan(t.Context(), set.Tenant, math.MinInt64, math.MaxInt64) {
			if err != nil || e.Key != "blob" {
				t.Fatalf("scan beside a place: %v, %v", e, err)
			}
		}
	}
	wantIDs(t, places(t, p, set, 0, 10), "0:a")
}

func placeRace(t *testing.T, _ index.Index, x index.Places) {
	set := minutes()
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			ok, err := x.SwapPlace(t.Context(), set, "", index.Place{Start: 0, ID: fmt.Sprint("rival", i)})
			if err != nil {
				t.Errorf("swap: %v", err)
			}
			if ok {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Fatalf("%d of 8 swaps of an empty place took effect, want 1", won.Load())
	}
}

// placeChain counts with swaps from several goroutines.
func placeChain(t *testing.T, _ index.Index, x index.Places) {
	const rivals, each = 4, 8
	set := minutes()
	var wg sync.WaitGroup
	for range rivals {
		wg.Go(func() {
			for n := 0; n < each; {
				now, err := x.Places(t.Context(), set, 0, 1)
				if err != nil {
					t.Error(err)
					return
				}
				old, state := "", []byte(nil)
				if len(now) > 0 {
					old, state = now[0].ID, now[0].State
				}
				next := index.Place{ID: rand.Text(), State: append(bytes.Clone(state), 'x')}
				ok, err := x.SwapPlace(t.Context(), set, old, next)
				if err != nil {
					t.Error(err)
					return
				}
				if ok {
					n++
				}
			}
		})
	}
	wg.Wait()
	if got := places(t, x, set, 0, 1); len(got) != 1 || len(got[0].State) != rivals*each {
		t.Fatalf("%d swaps took effect one after the other, but the state is %v", rivals*each, got)
	}
}

func placeMany(t *testing.T, _ index.Index, x index.Places) {
	const n = 300
	set := minutes()
	state := bytes.Repeat([]byte("s"), 1000)
	for i := range int64(n) {
		swap(t, x, set, "", index.Place{Start: i * int64(time.Minute), ID: fmt.Sprint("p", i), State: state}, true)
	}
	got := places(t, x, set, 0, n*int64(time.Minute))
	if len(got) != n || !slices.IsSortedFunc(got, func(a, b index.Place) int { return int(a.Start/1e9 - b.Start/1e9) }) {
		t.Fatalf("%d places of %d, or not in order", len(got), n)
	}
}

func placeSeen(t *testing.T, _ index.Index, x index.Places) {
	set := minutes()
	old := ""
	for i := range 20 {
		next := index.Place{ID: fmt.Sprint("v", i)}
		swap(t, x, set, old, next, true)
		wantIDs(t, places(t, x, set, 0, 1), "0:"+next.ID)
		old = next.ID
	}
}

func placeContext(t *testing.T, _ index.Index, x index.Places) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	set := minutes()
	if _, err := x.Places(ctx, set, 0, 1); err == nil {
		t.Error("a read under an ended context returned no error")
	}
	if ok, err := x.SwapPlace(ctx, set, "", index.Place{ID: "a"}); err == nil || ok {
		t.Errorf("a swap under an ended context: %v, %v, want an error", ok, err)
	}
}

func placeTime(t *testing.T, _ index.Index, x index.Places) {
	swap(t, x, minutes(), "", index.Place{ID: "a"}, true)
	if off := time.Since(x.StoreTime()).Abs(); off > time.Hour {
		t.Errorf("the store's time differs from this clock by %v after a response", off)
	}
}

// placeModel runs random operations against a map.
func placeModel(t *testing.T, _ index.Index, x index.Places) {
	rapid.Check(t, func(rt *rapid.T) {
		set := minutes()
		model := map[int64]index.Place{}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			start := rapid.Int64Range(-3, 3).Draw(rt, "start")
			old := model[start].ID
			if rapid.Bool().Draw(rt, "stale") {
				old = "stale"
			}
			next := index.Place{Start: start, ID: rand.Text(), State: rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(rt, "state")}
			ok, err := x.SwapPlace(t.Context(), set, old, next)
			if err != nil || ok != (old == model[start].ID) {
				rt.Fatalf("swap from %q where %q is: %v, %v", old, model[start].ID, ok, err)
			}
			if ok {
				model[start] = next
			}
		}
		got, err := x.Places(t.Context(), set, -3, 4)
		if err != nil || len(got) != len(model) {
			rt.Fatalf("%d places, %v, want %d", len(got), err, len(model))
		}
		for _, p := range got {
			if want := model[p.Start]; want.ID != p.ID || !bytes.Equal(want.State, p.State) {
				rt.Fatalf("place %d: %+v, want %+v", p.Start, p, want)
			}
		}
	})
}

// placeExpired checks that a place that has expired is empty, and one that has
// not is not.
func placeExpired(t *testing.T, _ index.Index, x index.Places) {
	set, now := minutes(), time.Now().Unix()
	swap(t, x, set, "", index.Place{Start: 0, ID: "past", Expires: now - 10}, true)
	swap(t, x, set, "", index.Place{Start: 1, ID: "future", Expires: now + 1000}, true)
	swap(t, x, set, "", index.Place{Start: 2, ID: "never"}, true)
	wantIDs(t, places(t, x, set, 0, 9), "1:future", "2:never")
	swap(t, x, set, "past", index.Place{Start: 0, ID: "a"}, false)
	swap(t, x, set, "", index.Place{Start: 1, ID: "b"}, false)
	swap(t, x, set, "", index.Place{Start: 0, ID: "c"}, true)
	wantIDs(t, places(t, x, set, 0, 9), "0:c", "1:future", "2:never")
	swap(t, x, set, "future", index.Place{Start: 1, ID: "d", Expires: now - 1}, true)
	swap(t, x, set, "", index.Place{Start: 1, ID: "e"}, true)
	wantIDs(t, places(t, x, set, 0, 9), "0:c", "1:e", "2:never")
}

// RunGuard checks that an index which offers index.Places refuses writers that
// go past the protocol of levels, once it has settings of levels. Open returns
// an empty index whose store no other test uses.
func RunGuard(t *testing.T, open func(t *testing.T) index.Index) {
	t.Helper()
	x := open(t)
	p, ok := x.(index.Places)
	if !ok {
		t.Skip("the index offers no places")
	}
	writeSettings(t, p)
	now := time.Now().UnixNano()
	young, old := index.Entry{Time: now, Key: "young"}, index.Entry{Time: now - int64(time.Hour), Key: "old"}
	put := func(ctx context.Context, e index.Entry, want error) {
		t.Helper()
		if err := x.Put(ctx, index.RowAt("guard", e.Time), e); !errors.Is(err, want) {
			t.Errorf("put of %q: %v, want %v", e.Key, err, want)
		}
	}
	put(t.Context(), young, nil)
	put(t.Context(), old, index.ErrLevels)
	put(index.Holding(t.Context()), old, nil)
	d, ok := x.(index.Deleter)
	if !ok {
		return
	}
	row := index.RowAt("guard", old.Time)
	if err := d.Delete(t.Context(), row, []index.Entry{old}); !errors.Is(err, index.ErrLevels) {
		t.Errorf("deletion past the protocol: %v, want %v", err, index.ErrLevels)
	}
	if err := d.Delete(index.Holding(t.Context()), row, []index.Entry{old}); err != nil {
		t.Error(err)
	}
}

// writeSettings writes settings of levels with a lateness of 10 minutes.
func writeSettings(t *testing.T, p index.Places) {
	t.Helper()
	settings := index.Place{ID: "settings", State: []byte(`{"lateness":600000000000,"linger":300000000000,"skew":10000000000}`)}
	swap(t, p, index.SettingsSet, "", settings, true)
}
