package memcache

import "testing"

// TestPickIsFrozen compares with CRC-32s that were computed by another program, modulo 3 and 5.
func TestPickIsFrozen(t *testing.T) {
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
		if got := [2]int{pick([]byte(key), 3), pick([]byte(key), 5)}; got != want {
			t.Errorf("%q: positions %v, want %v", key, got, want)
		}
	}
}
