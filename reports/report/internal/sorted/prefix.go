package sorted

// Prefix returns the first 8 bytes of a text, padded by zeros, as a number. Texts
// with different prefixes are in the order of these.
func Prefix(text string) (prefix uint64) {
	if len(text) >= 8 {
		return uint64(text[7]) | uint64(text[6])<<8 | uint64(text[5])<<16 | uint64(text[4])<<24 |
			uint64(text[3])<<32 | uint64(text[2])<<40 | uint64(text[1])<<48 | uint64(text[0])<<56
	}
	for i := range len(text) {
		prefix |= uint64(text[i]) << (56 - 8*i)
	}
	return prefix
}

// Common returns how many bytes two texts have in common at their begin.
func Common(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
