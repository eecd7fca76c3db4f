// Package deflate compresses msgpack to DEFLATE (RFC 1951), from memory to memory.
//
// Writers such as klauspost/compress/flate look for repetitions at every byte. In
// msgpack it is known where each value begins and ends, and a report mostly repeats
// whole values: keys, texts, times. So this package looks up whole values, and single
// bytes only where a value is new. It compresses any text. If a text is not msgpack,
// the result is only larger.
package deflate

// An Encoder compresses one text after the other. It is for one goroutine. The zero
// value is ready to use.
type Encoder struct {
	divider
	coder
}

// mostSteps is how many steps a block has at most. Each block has codes of its own.
const mostSteps = 1 << 11

// mostKept is how many steps an Encoder keeps memory for. A long text within a report
// may add many to a block.
const mostKept = 4 * mostSteps

// Append appends a stream that holds text to dst. Equal texts give equal streams. A
// stream is longer than its text by at most 16 bytes, and 10 for each 64 KiB.
func (e *Encoder) Append(dst, text []byte) []byte {
	e.begin(dst)
	for len(text) > mostText {
		e.part(text[:mostText], false)
		text = text[mostText:]
	}
	e.part(text, true)
	dst = e.finish()
	e.src, e.dst = nil, nil
	if cap(e.steps) > mostKept {
		e.steps = nil
	}
	return dst
}

// part compresses a part of a text. Last says that the stream ends with it.
func (e *Encoder) part(text []byte, last bool) {
	e.start(text)
	written := 0
	for e.divide(mostSteps) {
		written = e.block(text[written:e.end], e.steps, false) + written
		e.steps = e.steps[:0]
	}
	e.block(text[written:], e.steps, last)
	e.steps = e.steps[:0]
}
