package readthrough_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/internal/readthrough"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBroken = errors.New("broken")

type (
	results = []blob.Result[string]
	fetcher func(ctx context.Context, keys []string) results
)

// group is a Group whose questions are keys and a fetch, without a cache.
type group struct {
	readthrough.Group[string, string]
}

func (g *group) Do(ctx context.Context, keys []string, fetch fetcher) (results, error) {
	return g.ask(ctx, &question{keys: keys, fetch: fetch})
}

func (g *group) ask(ctx context.Context, q *question) (results, error) {
	out := make(results, len(q.keys))
	g.Read(ctx, readthrough.Look(out, q), out, q)
	return out, ctx.Err()
}

// question is a Source.
type question struct {
	keys  []string
	fetch fetcher
	look  func(key string, again bool) (string, bool) // nil: nothing is cached
}

func (q *question) Key(i int) string { return q.keys[i] }

func (q *question) Look(i int, again bool) (r blob.Result[string], ok bool) {
	if q.look != nil {
		r.Value, r.Found = q.look(q.keys[i], again)
	}
	return r, r.Found
}

func (q *question) Fetch(ctx context.Context, open []int, out []blob.Result[string]) {
	keys := make([]string, len(open))
	for n, i := range open {
		keys[n] = q.keys[i]
	}
	for n, r := range q.fetch(ctx, keys) {
		out[open[n]] = r
	}
}

// found answers every key with itself.
func found(_ context.Context, keys []string) results {
	out := make(results, len(keys))
	for i, key := range keys {
		out[i] = blob.Result[string]{Value: key, Found: true}
	}
	return out
}

// until answers after d, or with its context's error.
func until(d time.Duration, answer fetcher) fetcher {
	return func(ctx context.Context, keys []string) results {
		select {
		case <-time.After(d):
			return answer(ctx, keys)
		case <-ctx.Done():
			return slices.Repeat(results{{Err: ctx.Err()}}, len(keys))
		}
	}
}

// failed answers every key with an error, absent with nothing.
func failed(_ context.Context, keys []string) results {
	return slices.Repeat(results{{Err: errBroken}}, len(keys))
}

func absent(_ context.Context, keys []string) results { return make(results, len(keys)) }

// counting counts the calls and the keys of a fetch.
func counting(calls, keys *atomic.Int64, next fetcher) fetcher {
	return func(ctx context.Context, asked []string) results {
		calls.Add(1)
		keys.Add(int64(len(asked)))
		return next(ctx, asked)
	}
}

func TestOneFetchForMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g group
		var calls, keys atomic.Int64
		fetch := counting(&calls, &keys, until(time.Second, found))
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				got, err := g.Do(t.Context(), []string{"a", "b"}, fetch)
				if err != nil || !slices.Equal(got, found(context.Background(), []string{"a", "b"})) {
					t.Errorf("got %v, %v", got, err)
				}
			})
		}
		wg.Wait()
		if calls.Load() != 1 || keys.Load() != 2 {
			t.Errorf("%d fetches of %d keys, want 1 of 2", calls.Load(), keys.Load())
		}
	})
}

func TestOverlapFetchesOnlyTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g group
		go g.Do(t.Context(), []string{"a", "b"}, until(time.Second, found))
		synctest.Wait()
		var asked []string
		got, err := g.Do(t.Context(), []string{"c", "b", "a", "d"}, func(ctx context.Context, keys []string) results {
			asked = append(asked, keys...)
			return found(ctx, keys)
		})
		if err != nil || !slices.Equal(got, found(context.Background(), []string{"c", "b", "a", "d"})) {
			t.Errorf("got %v, %v", got, err)
		}
		if !slices.Equal(asked, []string{"c", "d"}) {
			t.Errorf("fetched %v, want the two that nobody was fetching", asked)
		}
	})
}

func TestWaiterObeysItsOwnContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g group
		go g.Do(t.Context(), []string{"a"}, until(time.Minute, found))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		got, err := g.Do(ctx, []string{"b", "a"}, found)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("got %v after %v, want the deadline's error after 1s", err, time.Since(begin))
		}
		if !got[0].Found || !errors.Is(got[1].Err, context.DeadlineExceeded) {
			t.Errorf("got %v, want b, and a's error", got)
		}
		time.Sleep(time.Minute)
	})
}

func TestLeaderThatGivesUpFailsNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g group
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := g.Do(ctx, []string{"a", "b"}, until(time.Minute, found)); !errors.Is(err, context.Canceled) {
				t.Errorf("the leader got %v", err)
			}
		})
		synctest.Wait()
		var calls, keys atomic.Int64
		for range 5 {
			wg.Go(func() {
				got, err := g.Do(t.Context(), []string{"b"}, counting(&calls, &keys, until(time.Second, found)))
				if err != nil || !got[0].Found {
					t.Errorf("a waiter got %v, %v", got, err)
				}
			})
		}
		synctest.Wait()
		cancel()
		wg.Wait()
		if calls.Load() != 1 {
			t.Errorf("the waiters fetched %d times, want once", calls.Load())
		}
	})
}

func TestErrorsAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g group
		go g.Do(t.Context(), []string{"a"}, until(time.Second, failed))
		synctest.Wait()
		got, err := g.Do(t.Context(), []string{"a"}, found)
		if err != nil || !errors.Is(got[0].Err, errBroken) || got[0].Found {
			t.Errorf("got %v, %v; want the leader's error", got, err)
		}
		if got, _ = g.Do(t.Context(), []string{"a"}, found); !got[0].Found {
			t.Errorf("got %v after the flight has landed", got)
		}
	})
}

// A reader who comes after a writer must not be told by a fetch that began
// before both that the key does not exist.
func TestOldAbsenceIsNotBelieved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g group
		go g.Do(t.Context(), []string{"a"}, until(time.Second, absent))
		synctest.Wait()
		got, err := g.Do(t.Context(), []string{"a"}, found)
		if err != nil || !got[0].Found {
			t.Errorf("got %v, %v; want the key fetched again", got, err)
		}
	})
}

func TestYoungAbsenceIsBelieved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g group
		var calls, keys atomic.Int64
		fetch := counting(&calls, &keys, until(time.Second, absent))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if got, err := g.Do(t.Context(), []string{"a"}, fetch); err != nil || got[0] != (blob.Result[string]{}) {
					t.Errorf("got %v, %v", got, err)
				}
			})
		}
		wg.Wait()
		if calls.Load() != 2 {
			t.Errorf("%d fetches, want one for the first caller and one for all who came during it", calls.Load())
		}
	})
}

func TestPanicEndsTheFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g group
		go func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic did not reach the leader")
				}
			}()
			g.Do(t.Context(), []string{"a"}, until(time.Second, func(context.Context, []string) results { panic("no luck") }))
		}()
		synctest.Wait()
		got, err := g.Do(t.Context(), []string{"a"}, found)
		if err != nil || got[0].Err == nil || got[0].Err.Error() != "fetch panicked: no luck" {
			t.Errorf("the waiter got %v, %v; want the panic as an error", got, err)
		}
		if got, err := g.Do(t.Context(), []string{"a"}, found); err != nil || !got[0].Found {
			t.Errorf("the next caller got %v, %v", got, err)
		}
	})
}

// A caller who repeats a key fetches it once and does not wait for itself.
func TestRepeatedKeys(t *testing.T) {
	t.Parallel()
	var g group
	var calls, keys atomic.Int64
	got, err := g.Do(t.Context(), []string{"a", "b", "a", "a"}, counting(&calls, &keys, found))
	if want := found(t.Context(), []string{"a", "b", "a", "a"}); err != nil || !slices.Equal(got, want) || keys.Load() != 2 {
		t.Errorf("got %v, %v after a fetch of %d keys", got, err, keys.Load())
	}
	if got, _ = g.Do(t.Context(), []string{"a", "a"}, counting(&calls, &keys, absent)); got[1].Found || calls.Load() != 2 {
		t.Errorf("got %v after %d fetches", got, calls.Load())
	}
}

// TestSecondLook is the interleaving of the package's documentation: another
// fetch ends between a caller's look and its claim.
func TestSecondLook(t *testing.T) {
	t.Parallel()
	var g group
	var cached string
	q := &question{keys: []string{"a"}, look: func(_ string, again bool) (string, bool) {
		if !again {
			g.Do(t.Context(), []string{"a"}, func(ctx context.Context, keys []string) results {
				cached = "a"
				return found(ctx, keys)
			})
			return "", false // what it saw before the other fetch ended
		}
		return cached, cached != ""
	}, fetch: func(context.Context, []string) results { panic("fetched again") }}
	if got, err := g.ask(t.Context(), q); err != nil || got[0].Value != "a" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestNoKeys(t *testing.T) {
	t.Parallel()
	var g group
	if got, err := g.Do(t.Context(), nil, failed); len(got) != 0 || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestStorm runs many callers with overlapping keys. Some give up: no
// key is ever fetched twice at a time, and nobody gets another key's value.
func TestStorm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g group
		var busy [8]atomic.Int32
		index := func(key string) int { return int(key[0] - 'a') }
		fetch := func(ctx context.Context, keys []string) results {
			for _, key := range keys {
				if busy[index(key)].Add(1) > 1 {
					t.Errorf("two fetches of %q", key)
				}
				defer busy[index(key)].Add(-1)
			}
			return until(time.Duration(rand.IntN(1000)), found)(ctx, keys)
		}
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() { storm(t, &g, fetch) })
		}
		wg.Wait()
	})
}

func storm(t *testing.T, g *group, fetch fetcher) {
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(3000)))
		keys := make([]string, 0, 4)
		for _, n := range rand.Perm(8)[:1+rand.IntN(4)] {
			keys = append(keys, string(rune('a'+n)))
		}
		got, err := g.Do(ctx, keys, fetch)
		for i, r := range got {
			switch {
			case r.Found && r.Value != keys[i], !r.Found && r.Err == nil:
				t.Errorf("key %q: got %v", keys[i], r)
			case r.Err != nil && (err == nil || ctx.Err() == nil):
				t.Errorf("key %q: %v, though the caller did not give up", keys[i], r.Err)
			}
		}
		cancel()
	}
}

func BenchmarkDo(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("%dkeys", n), func(b *testing.B) {
			var g group
			keys := make([]string, n)
			for i := range keys {
				keys[i] = fmt.Sprint(i)
			}
			answer := found(context.Background(), keys)
			b.ReportAllocs()
			for b.Loop() {
				g.Do(b.Context(), keys, func(context.Context, []string) results { return answer })
			}
		})
	}
}
