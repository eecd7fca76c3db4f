package memcache

import (
	"cmp"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// maxKey is the longest key that memcached takes, in bytes.
const maxKey = 250

// Selection says which of several servers a key belongs to.
type Selection int

const (
	// Modulo is Scope's, and that of gomemcache's ServerList: the servers are
	// ordered as strings, and a key belongs to the one at its CRC-32 (IEEE)
	// modulo their number. One server more or less moves almost every key.
	Modulo Selection = iota

	// Jump moves no more keys than it must when servers come and go at the
	// end of the order, in which numbers within names count as numbers: so
	// memcached-10 comes after memcached-9. It is the jump consistent hash of
	// Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm"
	// (2014, arXiv:1406.2294), over the key's xxHash64.
	Jump
)

// pick returns the function that chooses one of n ≥ 1 positions for a key.
func (s Selection) pick() func(key []byte, n int) int {
	if s == Jump {
		return func(key []byte, n int) int { return jump(xxhash.Sum64(key), n) }
	}
	return func(key []byte, n int) int { return int(crc32.ChecksumIEEE(key) % uint32(n)) }
}

// sort puts names into the order that positions count in.
func (s Selection) sort(names []string) {
	if s == Jump {
		slices.SortFunc(names, byNumber)
		return
	}
	slices.Sort(names)
}

// jump draws, from a generator seeded with the key, the numbers of servers at
// which the key would move, and returns the last that is below n. The constant
// is the paper's.
func jump(key uint64, n int) int {
	position, next := int64(-1), int64(0)
	for next < int64(n) {
		position = next
		key = key*2862933555777941757 + 1
		next = int64(float64(position+1) * (float64(1<<31) / float64(key>>33+1)))
	}
	return int(position)
}

// byNumber compares names part by part, where a run of digits is a part and
// compared by its value. Different names are never equal.
func byNumber(a, b string) int {
	restA, restB := a, b
	for restA != "" && restB != "" {
		var partA, partB string
		partA, restA = cutPart(restA)
		partB, restB = cutPart(restB)
		if c := compareParts(partA, partB); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(len(restA), len(restB)), strings.Compare(a, b))
}

// cutPart cuts off the longest beginning of s, which is not empty, that is all
// digits or has none.
func cutPart(s string) (part, rest string) {
	digits := isDigit(s[0])
	end := 1
	for end < len(s) && isDigit(s[end]) == digits {
		end++
	}
	return s[:end], s[end:]
}

func compareParts(a, b string) int {
	if isDigit(a[0]) && isDigit(b[0]) {
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		if c := cmp.Compare(len(a), len(b)); c != 0 {
			return c
		}
	}
	return strings.Compare(a, b)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// legal tells whether memcached takes a key. Of others it would read a part,
// or take the rest for commands.
func legal(key string) bool {
	if key == "" || len(key) > maxKey {
		return false
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] == 0x7f {
			return false
		}
	}
	return true
}
