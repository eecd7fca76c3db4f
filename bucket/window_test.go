package bucket

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/bucket/internal/window"
)

// bag is a multiset of numbers: a value that is lost or merged twice shows.
type bag []int

// mergeBags counts its calls and refuses to merge two poisoned values, the
// negative ones.
func mergeBags(calls *int) Merge[bag] {
	return func(parts []bag) (bag, error) {
		*calls += len(parts) - 1
		merged := slices.Concat(parts...)
		slices.Sort(merged)
		if len(merged) > 1 && merged[1] < 0 {
			return nil, errPoison
		}
		return merged, nil
	}
}

var errPoison = errors.New("two poisoned values")

// TestWindowIsItsTicks compares a window with the plain list of its ticks,
// and checks the price of each operation.
func TestWindowIsItsTicks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := windowModel{length: int64(rapid.IntRange(0, 40).Draw(t, "length"))}
		calls := 0
		w, err := NewWindow(time.Duration(m.length), mergeBags(&calls))
		if err != nil {
			t.Fatal(err)
		}
		for i := range rapid.IntRange(0, 300).Draw(t, "operations") {
			calls = 0
			switch rapid.SampledFrom([]string{"add", "add", "seal", "seal"}).Draw(t, "operation") {
			case "add":
				m.current = append(m.current, i)
				if err := w.Add(bag{i}); err != nil || calls > 1 {
					t.Fatalf("add: %v, %d merges", err, calls)
				}
			case "seal":
				m.now += rapid.SampledFrom([]int64{0, 1, 1, 1, 1, 3, 17, -2}).Draw(t, "time")
				want, price := m.seal()
				got, ok := w.Seal(time.Unix(0, m.now))
				if !slices.Equal(got, want) || ok != (want != nil) || calls > price {
					t.Fatalf("seal: got %v %v, want %v; %d merges", got, ok, want, calls)
				}
			}
			calls = 0
			got, err := w.Value()
			if err != nil || !slices.Equal(got, m.value()) || calls > m.price() {
				t.Fatalf("got %v %v, want %v; %d merges", got, err, m.value(), calls)
			}
			if w.Empty() != (len(m.value()) == 0) {
				t.Fatalf("empty: %v with %v", w.Empty(), m.value())
			}
		}
	})
}

// windowModel is a window as a list: oldest tick first.
type windowModel struct {
	length, now int64
	sealed      []bag
	ends        []int64
	current     bag
	many        bool // more ticks than window.FewTicks, and not empty since
}

// price returns how many merges a question may cost.
func (m *windowModel) price() int {
	if m.many {
		return 2
	}
	return len(m.sealed)
}

// seal also returns how many merges it may cost.
func (m *windowModel) seal() (ended bag, price int) {
	ended, m.current = m.current, nil
	if n := len(m.ends); n > 0 && m.now < m.ends[n-1] {
		m.sealed, m.ends, m.many = nil, nil, false
	}
	for len(m.ends) > 0 && m.now-m.ends[0] >= m.length {
		m.sealed, m.ends = m.sealed[1:], m.ends[1:]
		price += 2
	}
	wasMany := m.many && len(m.ends) > 0
	if !m.many {
		price = 0 // to drop one of few
	}
	if ended != nil && m.length > 0 {
		m.sealed, m.ends = append(m.sealed, ended), append(m.ends, m.now)
		if wasMany || len(m.sealed) > window.FewTicks {
			price += 3
		}
	}
	if m.many = wasMany || len(m.sealed) > window.FewTicks; m.many && !wasMany {
		price += window.FewTicks - 1
	}
	return ended, price
}

func (m *windowModel) value() bag {
	all := append(slices.Concat(m.sealed...), m.current...)
	slices.Sort(all)
	return all
}

// TestWindowPrice holds at any length: a question after a change costs at
// most two merges, or as many as there are ticks while those are few, and the
// same question again none.
func TestWindowPrice(t *testing.T) {
	t.Parallel()
	for _, ticks := range []int{1, 5, 100, 10_000} {
		t.Run(fmt.Sprint(ticks), func(t *testing.T) {
			t.Parallel()
			calls := 0
			// The value counts, so that its size does not grow with the window.
			w, err := NewWindow(time.Duration(ticks)*time.Second, func(parts []int) (int, error) {
				calls += len(parts) - 1
				return sum(parts), nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3*ticks + 7 {
				checkPrice(t, &calls, 1, func() { _ = w.Add(1) })
				question, seal := 2, 5
				if sealed := min(i, ticks); sealed <= window.FewTicks {
					question, seal = sealed, 0
				}
				if i == window.FewTicks && ticks > window.FewTicks {
					seal = window.FewTicks - 1 + 3 // goes over
				}
				checkPrice(t, &calls, question, func() { checkCount(t, w, min(i, ticks)+1) })
				checkPrice(t, &calls, 0, func() { checkCount(t, w, min(i, ticks)+1) })
				checkPrice(t, &calls, seal, func() { w.Seal(time.Unix(int64(i), 0)) })
			}
			checkPrice(t, &calls, 1, func() { _ = w.Add(1) })
			checkPrice(t, &calls, 0, func() { w.Seal(time.Unix(int64(9*ticks+9), 0)) }) // after a sleep
			checkPrice(t, &calls, 0, func() { checkCount(t, w, 1) })
		})
	}
}

func sum(parts []int) (n int) {
	for _, p := range parts {
		n += p
	}
	return n
}

func checkPrice(t *testing.T, calls *int, limit int, f func()) {
	t.Helper()
	*calls = 0
	f()
	if *calls > limit {
		t.Fatalf("took %d merges, want at most %d", *calls, limit)
	}
}

func checkCount(t *testing.T, w *Window[int], want int) {
	t.Helper()
	if got, err := w.Value(); err != nil || got != want {
		t.Fatalf("got %d %v, want %d", got, err, want)
	}
}

func TestWindowRefusesWhatDoesNotMerge(t *testing.T) {
	t.Parallel()
	calls := 0
	w, err := NewWindow(2*time.Second, mergeBags(&calls))
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.Add(bag{-1}))
	if err := w.Add(bag{-2}); !errors.Is(err, errPoison) {
		t.Fatalf("got %v, want the merge's error", err)
	}
	if v, ok := w.Seal(time.Unix(1, 0)); !ok || !slices.Equal(v, bag{-1}) {
		t.Fatalf("a refused value changed the tick: %v %v", v, ok)
	}
	must(w.Add(bag{-2}))
	if _, err := w.Value(); !errors.Is(err, errPoison) {
		t.Fatalf("got %v, want the merge's error while both are in the window", err)
	}
	if v, ok := w.Seal(time.Unix(2, 0)); !ok || !slices.Equal(v, bag{-2}) {
		t.Fatalf("a tick that does not merge with others is still a tick: %v %v", v, ok)
	}
	must(w.Add(bag{7}))
	w.Seal(time.Unix(3, 0)) // drops −1
	v, err := w.Value()
	if err != nil || !slices.Equal(v, bag{-2, 7}) {
		t.Fatalf("got %v %v once the poison has left the window", v, err)
	}
}

// TestWindowWhoseMergePanics has nine ticks. The merge panics on one of them. Each call
// returns, and the window is whole again when that tick has left it.
func TestWindowWhoseMergePanics(t *testing.T) {
	t.Parallel()
	calls := 0
	merge := mergeBags(&calls)
	w, err := NewWindow(20*time.Second, func(parts []bag) (bag, error) {
		if slices.ContainsFunc(parts, func(b bag) bool { return slices.Contains(b, -1) }) {
			panic(errPoison)
		}
		return merge(parts)
	})
	if err != nil {
		t.Fatal(err)
	}
	panicked := func(what string, err error) {
		t.Helper()
		if _, ok := errors.AsType[*PanicError](err); !ok || !errors.Is(err, errPoison) {
			t.Errorf("%s: got %v, want a *PanicError of the merge", what, err)
		}
	}
	for i := range 12 {
		v := bag{i}
		if i == 2 {
			v = bag{-1}
		}
		if err := w.Add(v); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			panicked("add", w.Add(bag{2}))
		}
		if got, ok := w.Seal(time.Unix(int64(i), 0)); !ok || !slices.Equal(got, v) {
			t.Fatalf("tick %d: %v, %v", i, got, ok)
		}
	}
	_, err = w.Value()
	panicked("value", err)
	w.Seal(time.Unix(22, 0)) // drops the first three ticks
	if v, err := w.Value(); err != nil || !slices.Equal(v, bag{3, 4, 5, 6, 7, 8, 9, 10, 11}) {
		t.Errorf("the window without the tick: %v, %v", v, err)
	}
}

func TestWindowRefusesOptions(t *testing.T) {
	t.Parallel()
	calls := 0
	if _, err := NewWindow(-1, mergeBags(&calls)); err == nil {
		t.Error("a negative length: no error")
	}
	if _, err := NewWindow[bag](1, nil); err == nil {
		t.Error("no merge function: no error")
	}
}
