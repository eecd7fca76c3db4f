package bucket

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/blob"
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

func (s texts) Encode(v string) ([]byte, error) { return []byte(v), nil }

func (s texts) Put(_ context.Context, key string, blob []byte) error {
	s[key] = string(blob)
	return nil
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
	q, err := NewQuantizer(idx, blobs, mergeLetters, &QuantizerOptions[string]{Grace: -1})
	if err != nil {
		t.Fatal(err)
	}
	for i, letter := range []string{"a", "b", "c", "d"} {
		instant := int64(i) * int64(2*time.Second)
		blobs[letter] = letter
		if err := idx.Put(t.Context(), index.RowAt("t", instant), index.Entry{Time: instant, Key: letter}); err != nil {
			t.Fatal(err)
		}
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
		entries, err := q.entries(t.Context(), "t", 0, int64(c.to))
		if err != nil {
			t.Fatal(err)
		}
		for _, q.opts.Batch = range []int{1, 2, 256} {
			got, err := q.merge(t.Context(), "t", entries, 0, int64(c.to), c.extra...)
			if got != c.want || err != nil {
				t.Errorf("up to %v with %v, by %d: got %q, %v, want %q", c.to, c.extra, q.opts.Batch, got, err, c.want)
			}
		}
	}
}

func TestEntriesOfNoRange(t *testing.T) {
	t.Parallel()
	q, err := NewQuantizer(index.NewMemIndex(), texts{}, mergeLetters, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]int64{{5, 5}, {6, 5}} {
		if got, err := q.entries(t.Context(), "t", c[0], c[1]); len(got) != 0 || err != nil {
			t.Errorf("entries of [%d, %d): %v, %v", c[0], c[1], got, err)
		}
	}
}

// TestLandedIsNotFetchedAgain is a caller who looked for a quantum just before
// another one cached it, and claims it just after.
func TestLandedIsNotFetchedAgain(t *testing.T) {
	t.Parallel()
	blobs := texts{"k": "a"}
	q, err := NewQuantizer(index.NewMemIndex(), blobs, mergeLetters, &QuantizerOptions[string]{Grace: -1})
	if err != nil {
		t.Fatal(err)
	}
	s := split([]index.Entry{{Time: 1, Key: "k"}}, 0, int64(3*time.Second), int64(3*time.Second))[0]
	key := quantumKey{tenant: "t", number: s.number}
	ask := func() (values []string, err error) {
		cold := coldSegments{segments: make(map[quantumKey]coldSegment)}
		cold.add(0, key, coldSegment{s, true})
		values = make([]string, 1)
		return values, q.warm(t.Context(), "t", &cold, values)
	}
	for range 2 {
		if got, err := ask(); err != nil || got[0] != "a" {
			t.Fatalf("got %v, %v", got, err)
		}
		delete(blobs, "k") // whoever fetches it again misses it
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

// TestRowsLeftOut cancels between rows: what was read until then is no answer.
func TestRowsLeftOut(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	x := heedless{index.NewMemIndex(), func(index.Row) error { cancel(); return nil }}
	q, err := NewQuantizer(x, texts{}, mergeLetters, &QuantizerOptions[string]{Rows: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := q.entries(ctx, "t", 0, 5*int64(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled after a row: %v, %v", got, err)
	}
	if got, err := q.has(ctx, "t", 0, 5*int64(time.Hour)); !errors.Is(err, context.Canceled) || got {
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
		q, err := NewQuantizer(x, texts{}, mergeLetters, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := q.has(t.Context(), "t", 0, 2*int64(time.Hour)); !errors.Is(err, broken) || got {
			t.Errorf("no entry in the other row: %v, %v", got, err)
		}
		if err := x.Put(t.Context(), index.Row{Tenant: "t", Hour: 0}, index.Entry{Time: 5, Key: "k"}); err != nil {
			t.Fatal(err)
		}
		if got, err := q.has(t.Context(), "t", 0, 2*int64(time.Hour)); err != nil || !got {
			t.Errorf("an entry in the other row: %v, %v", got, err)
		}
	})
}
