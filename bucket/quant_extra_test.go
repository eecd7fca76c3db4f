package bucket

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// texts is a store of strings, one for each key.
type texts map[string]string

func (s texts) Get(_ context.Context, keys []string) (map[string]string, error) {
	found := make(map[string]string)
	for _, key := range keys {
		if v, ok := s[key]; ok {
			found[key] = v
		}
	}
	return found, nil
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
	index, blobs := NewMemIndex(), texts{}
	q, err := NewQuantizer(index, blobs, mergeLetters, &QuantizerOptions[string]{Grace: -1})
	if err != nil {
		t.Fatal(err)
	}
	for i, letter := range []string{"a", "b", "c", "d"} {
		instant := int64(i) * int64(2*time.Second)
		blobs[letter] = letter
		if err := index.Put(t.Context(), RowAt("t", instant), Entry{Time: instant, Key: letter}); err != nil {
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
		got, err := q.merge(t.Context(), "t", entries, 0, int64(c.to), c.extra...)
		if got != c.want || err != nil {
			t.Errorf("up to %v with %v: got %q, %v, want %q", c.to, c.extra, got, err, c.want)
		}
	}
}

func TestEntriesOfNoRange(t *testing.T) {
	t.Parallel()
	q, err := NewQuantizer(NewMemIndex(), texts{}, mergeLetters, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]int64{{5, 5}, {6, 5}} {
		if got, err := q.entries(t.Context(), "t", c[0], c[1]); len(got) != 0 || err != nil {
			t.Errorf("entries of [%d, %d): %v, %v", c[0], c[1], got, err)
		}
	}
}
