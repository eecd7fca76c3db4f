package memcache

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestModuloIsFrozen holds CRC-32s computed elsewhere, modulo 3 and 5.
func TestModuloIsFrozen(t *testing.T) {
	t.Parallel()
	for key, want := range map[string][2]int{
		"3f1b0b4ea1bf2e0e7b2f2a6e7d5a4c11/1512345678000000000": {1, 4},
		"d41d8cd98f00b204e9800998ecf8427e/1483228800000000000": {0, 1},
		"0123456789abcdef0123456789abcdef/1":                   {2, 0},
		"hello/world":                                          {1, 3},
		"k":                                                    {1, 1},
		"a":                                                    {0, 2},
		"foo":                                                  {2, 4},
	} {
		pick := Modulo.pick()
		if got := [2]int{pick([]byte(key), 3), pick([]byte(key), 5)}; got != want {
			t.Errorf("%q: positions %v, want %v", key, got, want)
		}
	}
}

// TestJumpIsFrozen holds results of the paper's code, computed elsewhere.
func TestJumpIsFrozen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		key     uint64
		n, want int
	}{
		{0, 1, 0}, {1, 1, 0}, {42, 57, 43}, {0xDEAD10CC, 1, 0}, {0xDEAD10CC, 666, 361}, {256, 1024, 520},
		{1 << 63, 12, 5}, {1<<64 - 1, 1000, 313},
	} {
		if got := jump(c.key, c.n); got != c.want {
			t.Errorf("jump(%#x, %d) = %d, want %d", c.key, c.n, got, c.want)
		}
	}
	// The xxHash64 of "a" is 0xd24ec4f1a98c6e5b, of "abc" 0x44bc2cf5ad770999.
	pick := Jump.pick()
	if a, abc := pick([]byte("a"), 1000), pick([]byte("abc"), 1000); a != 894 || abc != 722 {
		t.Errorf("positions %d and %d of 1000, want 894 and 722", a, abc)
	}
}

// TestJumpMovesOnlyWhatItMust adds a server: keys stay or move to it, and each
// server has its share.
func TestJumpMovesOnlyWhatItMust(t *testing.T) {
	t.Parallel()
	const keys = 20_000
	for n := 1; n < 12; n++ {
		shares, moved := make([]int, n+1), 0
		for range keys {
			key := rand.Uint64()
			before, after := jump(key, n), jump(key, n+1)
			if before != after {
				moved++
				if after != n {
					t.Fatalf("%d servers: key %#x moved from %d to %d", n+1, key, before, after)
				}
			}
			shares[after]++
		}
		for i, share := range append(shares, moved) {
			if fair := keys / (n + 1); share < fair*8/10 || share > fair*12/10 {
				t.Errorf("%d servers: share %d is %d keys of %d", n+1, i, share, keys)
			}
		}
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	names := []string{"m-10:1", "m-9:1", "m-1:1", "a:1", "m-010:1", "10.0.0.2:1", "9.0.0.1:1"}
	for selection, want := range map[Selection][]string{
		Modulo: {"10.0.0.2:1", "9.0.0.1:1", "a:1", "m-010:1", "m-10:1", "m-1:1", "m-9:1"},
		Jump:   {"9.0.0.1:1", "10.0.0.2:1", "a:1", "m-1:1", "m-9:1", "m-010:1", "m-10:1"},
	} {
		got := slices.Clone(names)
		selection.sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("selection %d: %q, want %q", selection, got, want)
		}
	}
}

// TestOrderDoesNotDependOnWhoSorts sorts any names in two orders.
func TestOrderDoesNotDependOnWhoSorts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOf(rapid.StringMatching(`[ab019.:-]{0,6}`)).Draw(t, "names")
		other := rapid.Permutation(names).Draw(t, "other")
		Jump.sort(names)
		Jump.sort(other)
		if !slices.Equal(names, other) {
			t.Fatalf("%q and %q", names, other)
		}
	})
}
