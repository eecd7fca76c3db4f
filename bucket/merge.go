package bucket

// Merge makes one value of two or more. It must be associative and
// commutative by meaning, must not modify its parts, and may share memory
// with them. It is never called with fewer than two: the merge of one part is
// the part, of none the zero value of T.
type Merge[T any] func(parts []T) (T, error)

// mergeParts returns the merge of any number of parts.
func mergeParts[T any](merge Merge[T], parts []T) (v T, err error) {
	switch len(parts) {
	case 0:
		return v, nil
	case 1:
		return parts[0], nil
	}
	return merge(parts)
}
