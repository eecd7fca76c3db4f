package bucket_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// clocked is an index in memory whose store has a clock of its own.
type clocked struct {
	*index.MemIndex
	now     atomic.Int64 // Unix nanoseconds
	entries atomic.Int64 // that Query returned
}

func newClocked(now time.Time) *clocked {
	x := &clocked{MemIndex: index.NewMemIndex()}
	x.now.Store(now.UnixNano())
	return x
}

func (x *clocked) StoreTime() time.Time { return time.Unix(0, x.now.Load()) }

func (x *clocked) Query(ctx context.Context, row index.Row, from, to int64) ([]index.Entry, error) {
	entries, err := x.MemIndex.Query(ctx, row, from, to)
	x.entries.Add(int64(len(entries)))
	return entries, err
}

// levelled is a past in an index with levels.
type levelled struct {
	*past
	clock    *clocked
	protocol *levels.Protocol
	writer   *bucket.Writer
	asked    [][2]time.Time // ranges
}

// short are levels that a test can fill.
func short() levels.Settings {
	return levels.Settings{Spans: []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute}, Lateness: time.Minute}
}

// quiet is an index that does not count its writes, as one in another process.
type quiet interface {
	index.Index
	index.Places
	index.Deleter
}

func newLevelled(t rapid.TB, s levels.Settings, mute bool, opts *bucket.QuantizerOptions[counts]) *levelled {
	t.Helper()
	x := newClocked(noon)
	if opts == nil {
		opts = &bucket.QuantizerOptions[counts]{}
	}
	opts.Now = x.StoreTime
	var idx index.Index = x
	if mute {
		idx = struct{ quiet }{x}
	}
	l := &levelled{past: newPast(t, idx, opts), clock: x, protocol: levels.New(x, x.StoreTime), writer: bucket.NewWriter(x)}
	if err := l.protocol.Publish(context.Background(), s, true); err != nil {
		t.Fatalf("publish the settings: %v", err)
	}
	return l
}

// put stores a value at an instant.
func (l *levelled) put(t rapid.TB, tenant string, at time.Time) {
	t.Helper()
	row := index.RowAt(tenant, at.UnixNano())
	e := index.Entry{Time: at.UnixNano(), Key: row.FreshBlobKey(at.UnixNano(), rand.Text())}
	id := len(l.list) + 1
	if err := l.blobs.set(e.Key, counts{id: 1}); err != nil {
		t.Fatalf("blob: %v", err)
	}
	switch err := l.writer.Put(context.Background(), row, e); {
	case err == nil:
		l.list = append(l.list, record{tenant, e.Time, id})
	case !errors.Is(err, index.ErrExists):
		t.Fatalf("put: %v", err)
	}
}

// delete removes the tenant's entries of a range.
func (l *levelled) delete(t rapid.TB, tenant string, from, to time.Time) {
	t.Helper()
	entries, err := l.Entries(context.Background(), tenant, from, to)
	if err != nil {
		t.Fatalf("entries: %v", err)
	}
	for _, e := range entries {
		if err := l.writer.Delete(context.Background(), index.RowAt(tenant, e.Time), []index.Entry{e}); err != nil {
			t.Fatalf("delete: %v", err)
		}
		l.blobs.remove(e.Key)
	}
	for i := range l.list {
		if r := &l.list[i]; r.tenant == tenant && r.time >= from.UnixNano() && r.time < to.UnixNano() {
			r.tenant = "deleted"
		}
	}
}

// RollUp implements levels.Work.
func (l *levelled) RollUp(ctx context.Context, claim levels.Place, parts []levels.Part) (*levels.Seal, string, error) {
	all, n := make(counts), 0
	add := func(key string) {
		l.blobs.mu.Lock()
		defer l.blobs.mu.Unlock()
		for id, count := range l.blobs.values[key] {
			all[id] += count
		}
	}
	for _, part := range parts {
		if part.Place != nil {
			if n += part.Place.Entries; part.Place.Entries > 0 {
				add(part.Place.Key)
			}
			continue
		}
		entries, err := l.Entries(ctx, claim.Tenant, time.Unix(0, part.From), time.Unix(0, part.To))
		if err != nil {
			return nil, "", err
		}
		for _, e := range entries {
			n++
			add(e.Key)
		}
	}
	if n == 0 {
		return &levels.Seal{}, "", nil
	}
	if len(all) != n {
		return nil, "", fmt.Errorf("the roll-up of the %v has %d values of %d entries: a test took a blob away", claim.Span, len(all), n)
	}
	key := levels.Key(claim.Span, claim.ID())
	return &levels.Seal{Key: key, Entries: n, Size: int64(10 + n)}, "", l.blobs.set(key, all)
}

// build seals all spans of a level that touch a range, where that is possible.
func (l *levelled) build(t rapid.TB, tenant string, level time.Duration, from, to time.Time) {
	t.Helper()
	for at := levels.SpanAt(tenant, level, from.UnixNano()); at.Start < to.UnixNano(); at.Start += int64(level) {
		_, err := l.protocol.Build(context.Background(), at, time.Minute, l)
		if err != nil && !errors.Is(err, levels.ErrLost) && !errors.Is(err, levels.ErrTooSoon) && !errors.Is(err, index.ErrExists) {
			t.Logf("build the %v: %v", at, err)
		}
	}
}

// seals returns the seals of a level.
func (l *levelled) seals(t rapid.TB, tenant string, level time.Duration) (all []levels.Place) {
	t.Helper()
	places, err := l.protocol.Places(context.Background(), tenant, level, 0, 1<<62)
	if err != nil {
		t.Fatalf("places: %v", err)
	}
	for _, p := range places {
		if p.Kind == levels.Sealed && p.Entries > 0 {
			all = append(all, p)
		}
	}
	return all
}

// corruptError is the error of a blob that does not decode.
type corruptError struct{}

func (corruptError) Error() string { return "these bytes are no counts" }
func (corruptError) Corrupt() bool { return true }

// TestLevelsAreBruteForce compares every kind of question with the plain list of
// what was stored, while values come, also late ones, go, spans are sealed, and
// roll-ups are lost or do not decode.
func TestLevelsAreBruteForce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		l := newLevelled(rt, short(), rapid.Bool().Draw(rt, "mute"), &bucket.QuantizerOptions[counts]{
			Batch:      rapid.SampledFrom([]int{1, 3, 256}).Draw(rt, "batch"),
			CacheBytes: rapid.SampledFrom([]int64{-1, 2000, 1 << 20}).Draw(rt, "cache")})
		broken := make(map[string]bool)
		l.blobs.inject(func(_ context.Context, keys []string) (some []string, err error) {
			for _, key := range keys {
				if broken[key] {
					some, err = append(some, key), corruptError{}
				}
			}
			return some, err
		})
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			l.act(rt, broken)
			l.ask(rt)
		}
		l.checkRollUps(rt)
	})
}

// TestStepsGoDown asks for steps whose roll-ups are lost, or do not decode.
func TestStepsGoDown(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{true, false} {
		l := newLevelled(t, short(), false, nil)
		for i := range 20 {
			l.put(t, "a", after(float64(i)))
		}
		l.clock.now.Store(after(3600).UnixNano())
		l.build(t, "a", short().Spans[0], after(0), after(20))
		seals := l.seals(t, "a", short().Spans[0])
		if len(seals) != 2 {
			t.Fatalf("%d spans are sealed, want 2", len(seals))
		}
		if lost {
			l.blobs.remove(seals[1].Key)
		} else {
			l.blobs.inject(func(_ context.Context, keys []string) ([]string, error) {
				if slices.Contains(keys, seals[1].Key) {
					return []string{seals[1].Key}, corruptError{}
				}
				return nil, nil
			})
		}
		checkSteps(t, l.past, after(0), after(20), 10*time.Second)
		if left := l.seals(t, "a", short().Spans[0]); len(left) != 1 {
			t.Errorf("lost %v: %d seals are left, want 1", lost, len(left))
		}
	}
}

// act changes something.
func (l *levelled) act(rt *rapid.T, broken map[string]bool) {
	tenant := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "tenant")
	now := l.clock.StoreTime()
	ago := func(name string) time.Time {
		return now.Add(-time.Duration(rapid.IntRange(0, 900).Draw(rt, name)) * time.Second / 2)
	}
	levelsOf := short().Spans
	switch rapid.SampledFrom([]string{"values", "values", "late", "wait", "build", "build", "delete", "lose", "corrupt"}).Draw(rt, "act") {
	case "values":
		for range rapid.IntRange(1, 30).Draw(rt, "values") {
			l.clock.now.Add(int64(rapid.IntRange(1, 30).Draw(rt, "pause")) * int64(time.Second) / 3)
			l.put(rt, tenant, l.clock.StoreTime())
		}
	case "late":
		l.put(rt, tenant, ago("late"))
	case "wait":
		l.clock.now.Add(int64(rapid.IntRange(1, 200).Draw(rt, "seconds")) * int64(time.Second))
	case "build":
		l.build(rt, tenant, rapid.SampledFrom(levelsOf).Draw(rt, "level"), ago("from"), now)
	case "delete":
		from := ago("from")
		l.delete(rt, tenant, from, from.Add(time.Duration(rapid.IntRange(1, 20).Draw(rt, "length"))*time.Second))
	case "lose":
		if seals := l.seals(rt, tenant, rapid.SampledFrom(levelsOf).Draw(rt, "level")); len(seals) > 0 {
			l.blobs.remove(rapid.SampledFrom(seals).Draw(rt, "seal").Key)
		}
	case "corrupt":
		if seals := l.seals(rt, tenant, rapid.SampledFrom(levelsOf).Draw(rt, "level")); len(seals) > 0 {
			broken[rapid.SampledFrom(seals).Draw(rt, "seal").Key] = true
		}
	}
}

// ask compares random questions with the list.
func (l *levelled) ask(rt *rapid.T) {
	now := l.clock.StoreTime()
	from := now.Add(-time.Duration(rapid.IntRange(0, 3600).Draw(rt, "from")) * time.Second / 4)
	to := from.Add(time.Duration(rapid.IntRange(0, 3600).Draw(rt, "length")) * time.Second / 4)
	if rapid.Bool().Draw(rt, "aligned") {
		from, to = from.Truncate(10*time.Second), to.Truncate(10*time.Second)
	}
	if len(l.asked) > 0 && rapid.Bool().Draw(rt, "again") {
		r := rapid.SampledFrom(l.asked).Draw(rt, "range")
		from, to = r[0], r[1]
	}
	l.asked = append(l.asked, [2]time.Time{from, to})
	want := l.want("a", from, to)
	has, err := l.Has(rt.Context(), "a", from, to)
	if err != nil || has != (len(want) > 0) {
		rt.Fatalf("has from %v to %v: %v, %v, want %v", from, to, has, err, want)
	}
	a, err := l.Quantizer.Range(rt.Context(), "a", from, to, nil)
	if err != nil || a.Entries != len(want) || !maps.Equal(a.Value, want) {
		rt.Fatalf("range from %v to %v: got %d, %v, %v\nwant %v", from, to, a.Entries, a.Value, err, want)
	}
	checkSteps(rt, l.past, from, to, time.Duration(rapid.SampledFrom([]int{7, 10, 25, 60, 300, 400}).Draw(rt, "step"))*time.Second)
	checkValues(rt, l.past, from, to)
	maps.Copy(want, l.want("b", from, to))
	if a, err = l.RangeMany(rt.Context(), []string{"a", "b"}, from, to, nil); err != nil || a.Entries != len(want) || !maps.Equal(a.Value, want) {
		rt.Fatalf("many from %v to %v: got %+v, %v, want %v", from, to, a, err, want)
	}
}

// checkRollUps fails if a question changed a roll-up.
func (l *levelled) checkRollUps(rt *rapid.T) {
	for _, tenant := range []string{"a", "b"} {
		for _, level := range short().Spans {
			for _, seal := range l.seals(rt, tenant, level) {
				l.blobs.mu.Lock()
				v, ok := l.blobs.values[seal.Key]
				l.blobs.mu.Unlock()
				if want := l.want(tenant, time.Unix(0, seal.Start), time.Unix(0, seal.End())); ok && !maps.Equal(v, want) {
					rt.Fatalf("the roll-up of the %v is %v, want %v", seal.Span, v, want)
				}
			}
		}
	}
}

// holder is a source that holds one sealed value.
type holder struct{ held bucket.Held[counts] }

func (h holder) Held(context.Context, string, time.Time, time.Time) (bucket.Held[counts], error) {
	return h.held, nil
}

// TestAHeldValueInARollUpCountsOnce holds when a roll-up has a value already that
// a source still holds, and also when it has not.
func TestAHeldValueInARollUpCountsOnce(t *testing.T) {
	t.Parallel()
	for _, stored := range []bool{true, false} {
		l := newLevelled(t, short(), !stored, nil)
		l.put(t, "a", after(1))
		l.put(t, "a", after(2))
		l.clock.now.Store(after(3600).UnixNano())
		entries, err := l.Entries(t.Context(), "a", after(2), after(3))
		if err != nil || len(entries) != 1 {
			t.Fatal(entries, err)
		}
		held := bucket.HeldValue[counts]{Entry: entries[0], Own: true, Value: counts{2: 1}}
		if !stored {
			held = bucket.HeldValue[counts]{Entry: index.Entry{Time: after(4).UnixNano(), Key: "on its way"}, Own: true, Value: counts{3: 1}}
		}
		l.build(t, "a", short().Spans[0], after(0), after(10))
		if len(l.seals(t, "a", short().Spans[0])) != 1 {
			t.Fatal("the span is not sealed")
		}
		want := l.want("a", after(0), after(10))
		maps.Copy(want, held.Value)
		q, err := bucket.NewQuerier(l.clock, l.blobs, mergeCounts, &bucket.QuantizerOptions[counts]{Now: l.clock.StoreTime})
		if err != nil {
			t.Fatal(err)
		}
		if a, err := q.Range(t.Context(), "a", after(0), after(10), nil, nil); err != nil || a.Entries != 2 {
			t.Fatalf("stored %v: before anything is held: got %+v, %v", stored, a, err)
		}
		source := holder{bucket.Held[counts]{Version: "c-1", Next: after(3600).UnixNano(), Sealed: []bucket.HeldValue[counts]{held}}}
		a, err := q.Range(t.Context(), "a", after(0), after(10), []bucket.Source[counts]{source}, nil)
		if err != nil || a.Entries != len(want) || !maps.Equal(a.Value, want) {
			t.Errorf("stored %v: got %+v, %v, want %v", stored, a, err, want)
		}
	}
}
