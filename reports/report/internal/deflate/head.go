package deflate

// lengthOrder is the order in which a head gives the lengths of the codes of lengths.
var lengthOrder = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// A run says how often a length repeats: a symbol of the code of lengths, and its extra
// bits.
type run struct{ symbol, extra uint8 }

// runExtra is how many extra bits the symbols from 16 on have.
var runExtra = [...]uint8{2, 3, 7}

// head writes the codes of a block: the lengths of all codes, in a code of their own.
func (w *writer) head(h *huffman, ofLiterals, ofDistances []byte) {
	nLiterals, nDistances := used(ofLiterals, firstLen), used(ofDistances, 1)
	var all [literals + distances]byte
	n := copy(all[:], ofLiterals[:nLiterals])
	n += copy(all[n:], ofDistances[:nDistances])
	var space [literals + distances]run
	runs := appendRuns(space[:0], all[:n])

	var counts [len(lengthOrder)]uint32
	for _, r := range runs {
		counts[r.symbol]++
	}
	ensureTwo(counts[:])
	var lengths [len(lengthOrder)]byte
	h.lengths(lengths[:], counts[:], 7)
	var codes [len(lengthOrder)]code
	setCodes(codes[:], lengths[:])
	nLengths := len(lengthOrder)
	for lengths[lengthOrder[nLengths-1]] == 0 && nLengths > 4 {
		nLengths--
	}
	w.put(uint64(nLiterals-257)|uint64(nDistances-1)<<5|uint64(nLengths-4)<<10, 14)
	for _, symbol := range lengthOrder[:nLengths] {
		w.put(uint64(lengths[symbol]), 3)
	}
	for _, r := range runs {
		code := codes[r.symbol]
		w.put(uint64(code&0xffff), uint(code>>16))
		if r.symbol >= 16 {
			w.put(uint64(r.extra), uint(runExtra[r.symbol-16]))
		}
	}
}

// used returns how many lengths there are without zeros at the end, but at least least.
func used(lengths []byte, least int) int {
	n := len(lengths)
	for n > least && lengths[n-1] == 0 {
		n--
	}
	return n
}

// appendRuns appends the runs of lengths.
func appendRuns(runs []run, lengths []byte) []run {
	for i := 0; i < len(lengths); {
		n := 1
		for i+n < len(lengths) && lengths[i+n] == lengths[i] {
			n++
		}
		switch {
		case lengths[i] == 0 && n >= 11:
			n = min(n, 138)
			runs = append(runs, run{18, uint8(n - 11)})
		case lengths[i] == 0 && n >= 3:
			runs = append(runs, run{17, uint8(n - 3)})
		case n >= 3 && i > 0 && lengths[i] == lengths[i-1]:
			n = min(n, 6)
			runs = append(runs, run{16, uint8(n - 3)})
		default:
			n = 1
			runs = append(runs, run{lengths[i], 0})
		}
		i += n
	}
	return runs
}
