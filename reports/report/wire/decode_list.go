package wire

import (
	"strconv"

	"github.com/tinylib/msgp/msgp"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/internal/sorted"
)

// openMap reads the header of a map and returns the number of keys, 0 for nil.
// The caller must subtract 1 from depth after the last value.
func (d *decoder) openMap() int {
	if d.at < len(d.in) && d.in[d.at]&0xf0 == mpFixMap {
		d.at++
		return d.enter(int64(d.in[d.at-1]&0x0f), 2)
	}
	return d.open(msgp.ReadMapHeaderBytes, 2)
}

// openList reads the header of an array and returns its length, 0 for nil. The
// caller must subtract 1 from depth after the last element.
func (d *decoder) openList() int {
	if d.at < len(d.in) && d.in[d.at]&0xf0 == mpFixList {
		d.at++
		return d.enter(int64(d.in[d.at-1]&0x0f), 1)
	}
	return d.open(msgp.ReadArrayHeaderBytes, 1)
}

// open reads a header of any width. An element takes at least least bytes.
func (d *decoder) open(header func([]byte) (uint32, []byte, error), least int64) int {
	if d.null() {
		return d.enter(0, least)
	}
	n, rest, err := header(d.rest())
	return d.enter(int64(take(d, n, rest, err)), least)
}

// enter begins a map or an array of n elements, each at least least bytes long. It
// refuses a length that the rest of the input cannot hold, before anything is
// allocated for it.
func (d *decoder) enter(n, least int64) int {
	d.depth++
	switch {
	case d.depth > maxDepth:
		d.malformed("nested more than %d deep", maxDepth)
		return 0
	case n*least > int64(len(d.in)-d.at):
		d.fail(ErrTruncated)
		return 0
	}
	return int(n)
}

// fields reads a map, and calls yield where the value of each key stands. The
// name is part of the input. Yield must consume the value.
func (d *decoder) fields(yield func(name []byte) bool) {
	for range d.openMap() {
		name := d.raw()
		if d.err != nil || !yield(name) {
			return
		}
		if d.err != nil {
			d.within(".%s", printable(name))
			return
		}
	}
	d.depth--
}

// printable returns the name of a field for an error message. The name may hold
// any bytes, since the sender chose it.
func printable(name []byte) string {
	quoted := strconv.Quote(string(name[:min(len(name), report.SharedLength)]))
	return quoted[1 : len(quoted)-1]
}

// keyed reads a map into a list of one element for each key, in that order.
func keyed[E any](d *decoder, a *arena[E], one func(*decoder, string, *E), order func(a, b *E) int) []E {
	elements := a.take(d, d.openMap())
	for i := range elements {
		key := d.text()
		if d.err != nil {
			return nil
		}
		if one(d, key, &elements[i]); d.err != nil {
			d.within("[%.64q]", key)
			return nil
		}
	}
	d.depth--
	return sorted.Unique(elements, order)
}

// list reads an array into a list.
func list[E any](d *decoder, a *arena[E], one func(*decoder, *E)) []E {
	elements := a.take(d, d.openList())
	for i := range elements {
		if one(d, &elements[i]); d.err != nil {
			d.within("[%d]", i)
			return nil
		}
	}
	d.depth--
	return elements
}

// list reads an array of strings, set one that has no order.
func (d *decoder) list() []string {
	texts := d.texts.take(d, d.openList())
	for i := range texts {
		if texts[i] = d.text(); d.err != nil {
			d.within("[%d]", i)
			return nil
		}
	}
	d.depth--
	return texts
}

// set reads an array of strings that has an order.
func (d *decoder) set() []string {
	texts := d.list()
	if len(texts) < 2 {
		return texts
	}
	return sorted.Unique(texts, sorted.Strings)
}

// skip passes over a value of any shape.
func (d *decoder) skip() {
	d.foreign = true
	switch msgp.NextType(d.rest()) {
	case msgp.MapType:
		d.skipAll(2 * d.openMap())
	case msgp.ArrayType:
		d.skipAll(d.openList())
	default:
		rest, err := msgp.Skip(d.rest())
		take(d, struct{}{}, rest, err)
	}
}

func (d *decoder) skipAll(values int) {
	for range values {
		if d.skip(); d.err != nil {
			return
		}
	}
	d.depth--
}
