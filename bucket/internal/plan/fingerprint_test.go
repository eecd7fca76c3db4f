package plan

import (
	"encoding/hex"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/index"
)

// TestFingerprintIsFrozen holds the format. Its digests were made with
// printf(1) and sha256sum(1).
func TestFingerprintIsFrozen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entries []index.Entry
		want    string
	}{
		"none": {nil, "e3b0c44298fc1c149afbf4c8996fb924"},
		"one":  {[]index.Entry{{Time: 1, Key: "a"}}, "0e1b0880f3a7ea7610a1a87f8431b5ed"},
		"two":  {[]index.Entry{{Time: -1, Key: ""}, {Time: 1715947200000000000, Key: "0a58/17"}}, "efaf2fbd62ac4d4f49c4abf0668a9e00"},
	} {
		if got, _ := fingerprintOf(pieces{entries: c.entries}, nil); hex.EncodeToString(got[:]) != c.want {
			t.Errorf("%s: fingerprint %x, want %s", name, got, c.want)
		}
	}
}

func TestFingerprintTellsListsApart(t *testing.T) {
	t.Parallel()
	seen := make(map[fingerprint]int)
	for i, entries := range [][]index.Entry{
		nil,
		{{Time: 0, Key: ""}},
		{{Time: 0, Key: "a"}},
		{{Time: 1, Key: "a"}},
		{{Time: 1, Key: "b"}},
		{{Time: -1, Key: "a"}},
		{{Time: 1, Key: "a"}, {Time: 2, Key: "b"}},
		{{Time: 2, Key: "b"}, {Time: 1, Key: "a"}},
		{{Time: 1, Key: "b"}, {Time: 2, Key: "a"}},
		{{Time: 1, Key: "ab"}, {Time: 2, Key: ""}},
		{{Time: 1, Key: "a\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01b"}},
		{{Time: 1, Key: "a"}, {Time: 2, Key: "b"}, {Time: 3, Key: "c"}},
	} {
		got, _ := fingerprintOf(pieces{entries: entries}, nil)
		if twin, ok := seen[got]; ok {
			t.Errorf("lists %d and %d share a fingerprint", twin, i)
		}
		seen[got] = i
	}
}

func TestFingerprintIgnoresScratch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOf(rapid.Make[index.Entry]()).Draw(t, "entries")
		want, _ := fingerprintOf(pieces{entries: entries}, nil)
		got, scratch := fingerprintOf(pieces{entries: slices.Clone(entries)}, rapid.SliceOf(rapid.Byte()).Draw(t, "scratch"))
		again, _ := fingerprintOf(pieces{entries: entries}, scratch)
		if got != want || again != want {
			t.Fatalf("fingerprints %x, %x and %x of one list", want, got, again)
		}
	})
}
