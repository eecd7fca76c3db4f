package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/index"
)

// TestFoldHalves merges many values in halves. It must answer as fold does: the same
// merge, and the same values refused, also when only the merges of both halves
// refuse each other.
func TestFoldHalves(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		values []string
		lost   int
	}{
		"few":                 {slices.Repeat([]string{"a"}, 5), 0},
		"many":                {slices.Repeat([]string{"a", "b"}, 12), 0},
		"an odd number":       {slices.Repeat([]string{"a"}, 25), 0},
		"more than two calls": {slices.Repeat([]string{"a"}, 3*maxParts), 0},
		"one is refused":      {append(slices.Repeat([]string{"a"}, 23), "!"), 1},
		"halves that differ":  {append(slices.Repeat([]string{"!"}, 11), slices.Repeat([]string{"a"}, 13)...), 13},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPast(t, index.NewMemIndex(), texts{}, nil)
			p.user = func(parts []string) (string, error) { // refuses a ! beside a letter
				all := strings.Join(parts, "")
				if n := strings.Count(all, "!"); n > 0 && n < len(all) {
					return "", errors.New("mixed")
				}
				return all, nil
			}
			var parts []part[string]
			for i, v := range tc.values {
				e := index.Entry{Time: int64(i), Key: fmt.Sprint(i)}
				parts = append(parts, part[string]{value: v, tenant: "t", pieces: pieces{entries: []index.Entry{e}}, values: 1})
			}
			want, refused, err := p.fold(t.Context(), parts)
			if err != nil || len(refused) != tc.lost {
				t.Fatalf("fold refuses %d values, want %d: %v", len(refused), tc.lost, err)
			}
			got, left, err := p.foldHalves(t.Context(), parts, leastBlobs)
			if err != nil || got != want || len(left) != len(refused) {
				t.Errorf("got %q and %d refused, want %q and %d: %v", got, len(left), want, len(refused), err)
			}
		})
	}
}
