package bucket

import (
	"encoding/hex"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestFingerprintIsFrozen holds the format. Its digests were made with
// printf(1) and sha256sum(1).
func TestFingerprintIsFrozen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entries []Entry
		want    string
	}{
		"none": {nil, "e3b0c44298fc1c149afbf4c8996fb924"},
		"one":  {[]Entry{{1, "a"}}, "0e1b0880f3a7ea7610a1a87f8431b5ed"},
		"two":  {[]Entry{{-1, ""}, {1715947200000000000, "0a58/17"}}, "efaf2fbd62ac4d4f49c4abf0668a9e00"},
	} {
		if got, _ := fingerprintOf(c.entries, nil); hex.EncodeToString(got[:]) != c.want {
			t.Errorf("%s: fingerprint %x, want %s", name, got, c.want)
		}
	}
}

func TestFingerprintTellsListsApart(t *testing.T) {
	t.Parallel()
	seen := make(map[fingerprint]int)
	for i, entries := range [][]Entry{
		nil,
		{{0, ""}},
		{{0, "a"}},
		{{1, "a"}},
		{{1, "b"}},
		{{-1, "a"}},
		{{1, "a"}, {2, "b"}},
		{{2, "b"}, {1, "a"}},
		{{1, "b"}, {2, "a"}},
		{{1, "ab"}, {2, ""}},
		{{1, "a\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01b"}},
		{{1, "a"}, {2, "b"}, {3, "c"}},
	} {
		got, _ := fingerprintOf(entries, nil)
		if twin, ok := seen[got]; ok {
			t.Errorf("lists %d and %d share a fingerprint", twin, i)
		}
		seen[got] = i
	}
}

func TestFingerprintIgnoresScratch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOf(rapid.Make[Entry]()).Draw(t, "entries")
		want, _ := fingerprintOf(entries, nil)
		got, scratch := fingerprintOf(slices.Clone(entries), rapid.SliceOf(rapid.Byte()).Draw(t, "scratch"))
		again, _ := fingerprintOf(entries, scratch)
		if got != want || again != want {
			t.Fatalf("fingerprints %x, %x and %x of one list", want, got, again)
		}
	})
}
