package local

import (
	"bytes"
	"testing"
)

// TestSlabCopies checks that copies are whole, not nil and apart from each other.
func TestSlabCopies(t *testing.T) {
	t.Parallel()
	var s slab
	var copies [][]byte
	sizes := []int{0, 1, 4096, largeValue, largeValue + 1, 0, slabSize, 4096, 4096, 8000, 8000, 8000, 4096}
	for i, size := range sizes {
		value := bytes.Repeat([]byte{byte(i)}, size)
		c := s.copy(value)
		clear(value)
		copies = append(copies, append(c, 0xff)) // must not reach the next copy
	}
	for i, c := range copies {
		if want := append(bytes.Repeat([]byte{byte(i)}, sizes[i]), 0xff); !bytes.Equal(c, want) {
			t.Errorf("copy %d of %d bytes: %d bytes, or another value", i, sizes[i], len(c))
		}
	}
	if new(slab).copy(nil) == nil {
		t.Error("the copy of an empty value is nil, as if there were none")
	}
}
