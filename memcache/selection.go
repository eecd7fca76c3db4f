package memcache

import "hash/crc32"

// maxKey is memcached's limit for keys, in bytes.
const maxKey = 250

// pick returns the position of a key's server among n ≥ 1 servers sorted by name: the key's CRC-32 (IEEE)
// modulo n, as in Scope's collectors and gomemcache's ServerList. Adding or removing a server moves almost
// every key.
func pick(key []byte, n int) int { return int(crc32.ChecksumIEEE(key) % uint32(n)) }

// legal reports whether memcached accepts a key. It would read other keys as several keys or as commands.
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
