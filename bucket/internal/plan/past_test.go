package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// texts is a store of strings, one for each key.
type texts map[string]string

func (s texts) Get(_ context.Context, refs []blob.Ref) ([]blob.Result[string], error) {
	results := make([]blob.Result[string], len(refs))
	for i, ref := range refs {
		results[i].Value, results[i].Found = s[ref.Key]
	}
	return results, nil
}

// newPast returns a Past of letters that keeps every merge; change may alter its
// options.
func newPast(t testing.TB, idx index.Index, blobs Blobs[string], change func(*Options[string])) *Past[string] {
	t.Helper()
	metrics, err := NewMetrics(nil, "test")
	if err != nil {
		t.Fatal(err)
	}
	o := Options[string]{Quantum: 3 * time.Second, Grace: -1, CacheBytes: 1 << 20, Rows: 16, Batch: 256,
		MaxEntries: 1000, Budget: 1 << 20, Metrics: metrics, Now: time.Now}
	if change != nil {
		change(&o)
	}
	p, err := New(idx, blobs, mergeLetters, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ask asks a Past about a tenant's range.
func (p *Past[T]) ask(t testing.TB, tenant string, from, to time.Duration, extra ...T) (Answer[T], error) {
	t.Helper()
	series, err := p.Read(t.Context(), tenant, int64(from), int64(to), View{})
	if err != nil {
		t.Fatal(err)
	}
	q := Question[T]{Series: []Series{series}, From: int64(from), To: int64(to)}
	for _, v := range extra {
		q.Extra = append(q.Extra, Extra[T]{Tenant: tenant, Time: int64(to), Value: v})
	}
	return p.Answer(t.Context(), q)
}

// put adds an entry whose key is a letter.
func put(t testing.TB, idx index.Index, at time.Duration, letter string) {
	t.Helper()
	if err := idx.Put(t.Context(), index.RowAt("t", int64(at)), index.Entry{Time: int64(at), Key: letter}); err != nil {
		t.Fatal(err)
	}
}

// mergeLetters returns the letters of all parts in order.
func mergeLetters(parts []string) (string, error) {
	if len(parts) < 2 {
		return "", fmt.Errorf("merge was called with %d parts", len(parts))
	}
	var letters []byte
	for _, part := range parts {
		letters = append(letters, part...)
	}
	slices.Sort(letters)
	return string(letters), nil
}

// TestMergeWithExtra merges what is not in the index into the one answer that
// it is for.
func TestMergeWithExtra(t *testing.T) {
	t.Parallel()
	idx, blobs := index.NewMemIndex(), texts{}
	for i, letter := range []string{"a", "b", "c", "d"} {
		blobs[letter] = letter
		put(t, idx, time.Duration(i)*2*time.Second, letter)
	}
	for _, c := range []struct {
		to    time.Duration
		extra []string
		want  string
	}{
		{0, nil, ""},
		{0, []string{"x"}, "x"},
		{0, []string{"x", "y"}, "xy"},
		{1, []string{"x"}, "ax"},
		{3 * time.Second, []string{"x"}, "abx"},
		{3 * time.Second, nil, "ab"},
		{7 * time.Second, []string{"x", "x"}, "abcdxx"},
		{7 * time.Second, nil, "abcd"},
	} {
		for _, batch := range []int{1, 2, 256} {
			p := newPast(t, idx, blobs, func(o *Options[string]) { o.Batch = batch })
			for range 2 { // the second time with what was kept
				got, err := p.ask(t, "t", 0, c.to, c.extra...)
				if got.Value != c.want || got.Count != len(c.want) || err != nil {
					t.Errorf("up to %v with %v, by %d: got %+v, %v, want %q", c.to, c.extra, batch, got, err, c.want)
				}
			}
		}
	}
}

func TestEntriesOfNoRange(t *testing.T) {
	t.Parallel()
	q := newPast(t, index.NewMemIndex(), texts{}, nil)
	for _, c := range [][2]int64{{5, 5}, {6, 5}} {
		if got, err := q.Entries(t.Context(), "t", c[0], c[1]); len(got) != 0 || err != nil {
			t.Errorf("entries of [%d, %d): %v, %v", c[0], c[1], got, err)
		}
	}
}

// heedless is an index that does not look at contexts. It calls before first.
type heedless struct {
	*index.MemIndex
	before func(row index.Row) error
}

func (x heedless) Query(_ context.Context, row index.Row, from, to int64) ([]index.Entry, error) {
	if err := x.before(row); err != nil {
		return nil, err
	}
	return x.MemIndex.Query(context.Background(), row, from, to)
}

// TestRowsLeftOut cancels between rows: the rows read so far are not an answer.
func TestRowsLeftOut(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	x := heedless{index.NewMemIndex(), func(index.Row) error { cancel(); return nil }}
	q := newPast(t, x, texts{}, func(o *Options[string]) { o.Rows = 1 })
	if got, err := q.Entries(ctx, "t", 0, 5*int64(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled after a row: %v, %v", got, err)
	}
	if got, err := q.Has(ctx, "t", 0, 5*int64(time.Hour)); !errors.Is(err, context.Canceled) || got {
		t.Errorf("cancelled before the first row: %v, %v", got, err)
	}
}

// TestHasAfterAFault finds an entry when another row has failed already.
func TestHasAfterAFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("index is down")
		x := heedless{index.NewMemIndex(), func(row index.Row) error {
			if row.Hour == 1 {
				return broken
			}
			time.Sleep(time.Second)
			return nil
		}}
		q := newPast(t, x, texts{}, nil)
		if got, err := q.Has(t.Context(), "t", 0, 2*int64(time.Hour)); !errors.Is(err, broken) || got {
			t.Errorf("no entry in the other row: %v, %v", got, err)
		}
		if err := x.Put(t.Context(), index.Row{Tenant: "t", Hour: 0}, index.Entry{Time: 5, Key: "k"}); err != nil {
			t.Fatal(err)
		}
		if got, err := q.Has(t.Context(), "t", 0, 2*int64(time.Hour)); err != nil || !got {
			t.Errorf("an entry in the other row: %v, %v", got, err)
		}
	})
}

// untouched is an index that must not be asked.
type untouched struct {
	*index.MemIndex
	t *testing.T
}

func (u untouched) Places(context.Context, index.PlaceSet, int64, int64) ([]index.Place, error) {
	u.t.Error("the index was asked")
	return nil, errPoison
}

// TestMemoryAloneAsksNoIndex merges values that are not in the index, one of which is
// refused, in a Past with levels.
func TestMemoryAloneAsksNoIndex(t *testing.T) {
	t.Parallel()
	idx := untouched{index.NewMemIndex(), t}
	p := newPast(t, idx, texts{}, func(o *Options[string]) { o.Levels = levels.New(idx, nil) })
	p.user = func(parts []string) (string, error) {
		if slices.Contains(parts, "x") {
			return "", errPoison
		}
		return mergeLetters(parts)
	}
	q := Question[string]{Series: []Series{{Tenant: "t"}}, Partial: true}
	for i, letter := range []string{"a", "x", "b"} {
		q.Extra = append(q.Extra, Extra[string]{Tenant: "t", Time: int64(i), Value: letter})
	}
	a, err := p.Answer(t.Context(), q)
	if err != nil || a.Value != "ab" || a.Count != 2 || len(a.Missing) != 1 || a.Missing[0].Time.UnixNano() != 1 {
		t.Errorf("got %+v, %v", a, err)
	}
}
