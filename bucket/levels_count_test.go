package bucket_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// tally is a store of numbers: an entry's value is 1, and a roll-up's the number
// of its entries.
type tally struct {
	mu      sync.Mutex // guards what follows
	rollups map[string]int
	fetched int
}

func (s *tally) Get(_ context.Context, refs []blob.Ref) ([]blob.Result[int], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetched += len(refs)
	results := make([]blob.Result[int], len(refs))
	for i, ref := range refs {
		n, ok := s.rollups[ref.Key]
		if !ok {
			n = 1
		}
		results[i] = blob.Result[int]{Value: n, Found: true}
	}
	return results, nil
}

func (*tally) Encode(int) ([]byte, error)                { return make([]byte, 8), nil }
func (*tally) Put(context.Context, string, []byte) error { return nil }

// apart is how far the entries of weeks are apart.
const apart = 3 * time.Second

// weeks is a tenant's entries, a tick apart, with roll-ups of the minutes,
// hours and days that may be sealed.
type weeks struct {
	*bucket.Quantizer[int]
	index    *clocked
	store    *tally
	protocol *levels.Protocol
	merges   atomic.Int64
}

// newWeeks returns the entries of [from, now). Their spans are sealed as soon as
// that may be.
func newWeeks(t testing.TB, from, now time.Time) *weeks {
	t.Helper()
	h := &weeks{index: newClocked(now), store: &tally{rollups: make(map[string]int)}}
	sum := func(parts []int) (total int, err error) {
		h.merges.Add(1)
		for _, n := range parts {
			total += n
		}
		return total, nil
	}
	var err error
	h.Quantizer, err = bucket.NewQuantizer(h.index, h.store, sum, &bucket.QuantizerOptions[int]{
		Size: func(int) int64 { return 8 }, Now: h.index.StoreTime})
	if err != nil {
		t.Fatal(err)
	}
	for at := from; at.Before(now); at = at.Add(apart) {
		h.put(t, at)
	}
	h.protocol = levels.New(h.index, h.index.StoreTime)
	s := levels.Default()
	s.From = from.UnixNano()
	if err := h.protocol.Publish(t.Context(), s, true); err != nil {
		t.Fatal(err)
	}
	for _, level := range s.Spans {
		for at := levels.SpanAt("a", level, from.UnixNano()); at.End()+int64(s.Lateness) <= now.UnixNano(); at.Start += int64(level) {
			if _, err := h.protocol.Build(t.Context(), at, time.Minute, h); err != nil {
				t.Fatal(err)
			}
		}
	}
	return h
}

func (h *weeks) put(t testing.TB, at time.Time) {
	t.Helper()
	row := index.RowAt("a", at.UnixNano())
	if err := h.index.Put(index.Holding(t.Context()), row, index.Entry{Time: at.UnixNano(), Key: row.BlobKey(at.UnixNano())}); err != nil {
		t.Fatal(err)
	}
}

// RollUp implements levels.Work.
func (h *weeks) RollUp(ctx context.Context, claim levels.Place, parts []levels.Part) (*levels.Seal, string, error) {
	n := 0
	for _, part := range parts {
		if part.Place != nil {
			n += part.Place.Entries
			continue
		}
		entries, err := h.Entries(ctx, claim.Tenant, time.Unix(0, part.From), time.Unix(0, part.To))
		if err != nil {
			return nil, "", err
		}
		n += len(entries)
	}
	if n == 0 {
		return &levels.Seal{}, "", nil
	}
	key := levels.Key(claim.Span, claim.ID())
	h.store.rollups[key] = n
	return &levels.Seal{Key: key, Entries: n, Size: 8}, "", nil
}

// cost is what a question took.
type cost struct{ entries, blobs, merges int }

// ask asks about a range and returns what that took.
func (h *weeks) ask(t testing.TB, from time.Time, length time.Duration) cost {
	t.Helper()
	h.index.entries.Store(0)
	h.store.fetched = 0
	h.merges.Store(0)
	a, err := h.Range(t.Context(), "a", from, from.Add(length), nil)
	if want := int(length / apart); err != nil || a.Value != want || a.Entries != want {
		t.Fatalf("from %v for %v: got %+v, %v, want %d", from, length, a, err, want)
	}
	return cost{int(h.index.entries.Load()), h.store.fetched, int(h.merges.Load())}
}

// TestAWeekCostsWhatAnHourCosts counts what questions about an hour and a week
// read, with every edge between spans, and with the week that ends now.
func TestAWeekCostsWhatAnHourCosts(t *testing.T) {
	t.Parallel()
	const hour, day, week = time.Hour, 24 * time.Hour, 7 * 24 * time.Hour
	begin := noon.Truncate(day)
	now := begin.Add(9*day + 13*hour + 47*time.Minute + 33*time.Second)
	h := newWeeks(t, begin, now)
	for _, edge := range []time.Duration{0, 3 * time.Second, hour - apart, hour, day - apart, 11*hour + 29*time.Minute + 30*time.Second} {
		from := begin.Add(day + edge)
		if got := h.ask(t, from.Add(day), hour); got.blobs > 79 || got.entries > 20 {
			t.Errorf("an hour, %v after midnight: %+v, want at most 79 blobs, and 20 entries", edge, got)
		}
		cold := h.ask(t, from, week)
		if cold.blobs > 108 || cold.entries > 20 || cold.merges > 8 {
			t.Errorf("a week, %v after midnight: %+v, want at most 108 blobs, 20 entries, 8 merges", edge, cold)
		}
		if warm := h.ask(t, from, week); warm.blobs > 0 || warm.merges > 0 {
			t.Errorf("the same week again: %+v, want no blobs and no merges", warm)
		}
		for i := range 25 {
			if moved := h.ask(t, from.Add(time.Duration(i+1)*apart), week); moved.merges > 8 {
				t.Errorf("a week, %v after midnight, moved by %d ticks: %+v, want at most 8 merges", edge, i+1, moved)
			}
		}
	}
	// The last 11 minutes are not sealed yet.
	cold := h.ask(t, now.Add(-week), week)
	if most := 11 * 20; cold.entries > 20+most || cold.blobs > 108+most {
		t.Errorf("a week that ends now: %+v", cold)
	}
	for i := range 25 {
		h.index.now.Add(int64(apart))
		h.put(t, h.index.StoreTime().Add(-apart))
		moved := h.ask(t, h.index.StoreTime().Add(-week), week)
		if moved.merges > 8 || moved.blobs > 120 {
			t.Errorf("the week that ends now, moved by %d ticks: %+v, want at most 8 merges", i+1, moved)
		}
	}
}
