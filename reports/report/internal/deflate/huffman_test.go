package deflate

import (
	"math/rand/v2"
	"testing"
)

// TestCodesAreComplete builds codes for counts of many shapes. Each code must be complete
// and within the limit. Rarer symbols must not have shorter codes.
func TestCodesAreComplete(t *testing.T) {
	t.Parallel()
	fibonacci := []uint32{1, 1}
	for len(fibonacci) < 40 {
		fibonacci = append(fibonacci, fibonacci[len(fibonacci)-1]+fibonacci[len(fibonacci)-2])
	}
	shapes := [][]uint32{{0, 0, 5}, {1, 1}, {0, 0}, fibonacci, make([]uint32, mostSymbols)}
	r := rand.New(rand.NewPCG(7, 8))
	for range 50 {
		counts := make([]uint32, 2+r.IntN(mostSymbols-1))
		for i := range counts {
			counts[i] = uint32(r.ExpFloat64() * 100 * float64(r.IntN(2)))
		}
		shapes = append(shapes, counts)
	}
	var h huffman
	for _, counts := range shapes {
		for _, most := range []int{9, mostCode} {
			ensureTwo(counts)
			lengths := make([]byte, len(counts))
			h.lengths(lengths, counts, most)
			room := 0
			for symbol, n := range lengths {
				if (n > 0) != (counts[symbol] > 0) || int(n) > most {
					t.Fatalf("%v: a symbol that occurs %d times has %d bits, at most %d are allowed", counts, counts[symbol], n, most)
				}
				if n > 0 {
					room += 1 << (most - int(n))
				}
			}
			if room != 1<<most {
				t.Fatalf("%v: the lengths %v do not make a complete code", counts, lengths)
			}
			requireOrder(t, counts, lengths)
		}
	}
}

func requireOrder(t *testing.T, counts []uint32, lengths []byte) {
	t.Helper()
	for i := range counts {
		for j := range counts {
			if counts[i] > counts[j] && counts[j] > 0 && lengths[i] > lengths[j] {
				t.Fatalf("%v: the symbol %d has %d bits and is more frequent than %d, with %d", counts, i, lengths[i], j, lengths[j])
			}
		}
	}
}
