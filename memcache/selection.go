package memcache

import "hash/crc32"

// maxKey is the longest key that memcached takes, in bytes.
const maxKey = 250

// pick returns the position of a key's server among n ≥ 1 servers that are
// sorted by name: the key's CRC-32 (IEEE) modulo n. Scope's collectors and
// gomemcache's ServerList do the same. One server more or less moves almost
// every key.
func pick(key []byte, n int) int { return int(crc32.ChecksumIEEE(key) % uint32(n)) }

// legal reports whether memcached takes a key. It would read a part of other
// keys, or take the rest for commands.
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
