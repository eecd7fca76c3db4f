package deflate

import (
	"math/bits"
	"slices"
)

// A huffman builds codes.
type huffman struct {
	order   [mostSymbols]uint64 // the symbols that occur, the rarest first: the count, and the symbol in the low 16 bits
	weights [mostSymbols]uint32
}

// lengths finds the lengths of the codes of symbols that occur so often, at most most
// bits each. At least two symbols must occur.
func (h *huffman) lengths(lengths []byte, counts []uint32, most int) {
	order := h.order[:0]
	clear(lengths)
	for symbol, n := range counts {
		if n > 0 {
			order = append(order, uint64(n)<<16|uint64(symbol))
		}
	}
	slices.Sort(order)
	weights := h.weights[:len(order)]
	for i, o := range order {
		weights[i] = uint32(o >> 16)
	}
	depths(weights)
	var count [mostCode + 1]int // of codes, by their lengths
	for _, depth := range weights {
		count[min(int(depth), most)]++
	}
	shorten(&count, most)
	i := len(order)
	for n := 1; n <= most; n++ {
		for range count[n] {
			i--
			lengths[order[i]&0xffff] = byte(n)
		}
	}
}

// depths replaces ascending weights by the depths of their leaves in a Huffman tree. It
// needs no other memory: A. Moffat and J. Katajainen, "In-place calculation of
// minimum-redundancy codes", 1995.
func depths(w []uint32) {
	n := len(w)
	joinWeights(w)
	w[n-2] = 0
	for next := n - 3; next >= 0; next-- { // from parents to the depths of inner nodes
		w[next] = w[w[next]] + 1
	}
	root, next := n-2, n-1
	for free, depth := 1, uint32(0); free > 0; depth++ { // from inner nodes to leaves
		used := 0
		for root >= 0 && w[root] == depth {
			used, root = used+1, root-1
		}
		for ; free > used; free-- {
			w[next] = depth
			next--
		}
		free = 2 * used
	}
}

// joinWeights is the first pass of depths: inner nodes are made of the two least
// weights, and each weight becomes the index of its parent.
func joinWeights(w []uint32) {
	n := len(w)
	root, leaf := 0, 0
	take := func(next int) uint32 { // the least weight that has no parent yet
		if leaf >= n || root < next && w[root] < w[leaf] {
			least := w[root]
			w[root] = uint32(next)
			root++
			return least
		}
		leaf++
		return w[leaf-1]
	}
	for next := range n - 1 {
		first := take(next)
		w[next] = first + take(next)
	}
}

// shorten makes a code of lengths that were cut to most bits. Until the code has room
// for all, it takes a longest code away and splits a shorter one for it.
func shorten(count *[mostCode + 1]int, most int) {
	total := 0
	for n := 1; n <= most; n++ {
		total += count[n] << (most - n)
	}
	for ; total > 1<<most; total-- {
		count[most]--
		n := most - 1
		for count[n] == 0 {
			n--
		}
		count[n]--
		count[n+1] += 2
	}
}

// A code is what stands for a symbol: the lowest 16 bits, and above these their number.
type code uint32

// setCodes gives symbols their codes by the lengths of these, as the format orders them.
func setCodes(codes []code, lengths []byte) {
	var next, count [mostCode + 1]int
	for _, n := range lengths {
		count[n]++
	}
	count[0] = 0
	for n := 1; n <= mostCode; n++ {
		next[n] = (next[n-1] + count[n-1]) << 1
	}
	for symbol, n := range lengths {
		codes[symbol] = 0
		if n > 0 {
			codes[symbol] = code(bits.Reverse16(uint16(next[n]))>>(16-n)) | code(n)<<16
			next[n]++
		}
	}
}

// ensureTwo counts symbols that do not occur, until there are two: a code of one symbol
// would not be complete.
func ensureTwo(counts []uint32) {
	used := 0
	for _, n := range counts {
		if n > 0 {
			used++
		}
	}
	for symbol := 0; used < 2; symbol++ {
		if counts[symbol] == 0 {
			counts[symbol] = 1
			used++
		}
	}
}
