package wire

import (
	"fmt"
	"iter"

	"github.com/tinylib/msgp/msgp"
)

// deeper counts a map or an array that begins.
func (e *encoder) deeper() {
	if e.depth++; e.depth > maxDepth {
		e.fail(fmt.Errorf("nested more than %d deep", maxDepth))
	}
}

func (e *encoder) openMap(n int) {
	e.elements += n
	e.deeper()
	if e.json {
		e.dst = append(e.dst, '{')
		return
	}
	e.dst = msgp.AppendMapHeader(e.dst, uint32(n))
}

func (e *encoder) closeMap() { e.close('}') }

func (e *encoder) openList(n int) {
	e.elements += n
	e.deeper()
	if e.json {
		e.dst = append(e.dst, '[')
		return
	}
	e.dst = msgp.AppendArrayHeader(e.dst, uint32(n))
}

func (e *encoder) closeList() { e.close(']') }

func (e *encoder) close(bracket byte) {
	e.depth--
	if e.json {
		e.dst = append(e.dst, bracket)
	}
}

// key writes the key that a value of a map stands under.
func (e *encoder) key(key string) {
	e.element()
	e.text(key)
	if e.json {
		e.dst = append(e.dst, ':')
	}
}

// element writes the comma that JSON wants before an element of an array or a key,
// unless it is the first one.
func (e *encoder) element() {
	if last := e.dst[len(e.dst)-1]; e.json && last != '{' && last != '[' {
		e.dst = append(e.dst, ',')
	}
}

// list writes an array of strings; an empty one is nil, as Scope writes it.
func (e *encoder) list(values []string) {
	if len(values) == 0 {
		e.null()
		return
	}
	e.openList(len(values))
	for _, v := range values {
		e.element()
		e.text(v)
	}
	e.closeList()
}

// An object is a map of fields that is being written. The length in its header
// grows with each field.
type object struct {
	*encoder
	header int // where it begins
}

// object begins a map of fields: at most 15, unless it is long.
func (e *encoder) object(long bool) object {
	e.deeper()
	o := object{e, len(e.dst)}
	switch {
	case e.json:
		e.dst = append(e.dst, '{')
	case long:
		e.dst = append(e.dst, mpMap16, 0, 0)
	default:
		e.dst = append(e.dst, mpFixMap)
	}
	return o
}

func (o object) close() { o.closeMap() }

// entry begins the object that stands under a key of a map.
func (e *encoder) entry(key string) object {
	e.key(key)
	return e.object(false)
}

// entries yields the elements that are to be written, with entry, as a map in a
// field. The field is left out when there are none. Metrics of nodes, which are
// many, have a loop of their own, which takes less time.
func entries[E any](o object, name string, elements []E) iter.Seq[*E] {
	return func(yield func(*E) bool) {
		if len(elements) == 0 {
			return
		}
		o.field(name).openMap(len(elements))
		for i := range elements {
			if !yield(&elements[i]) {
				return
			}
		}
		o.closeMap()
	}
}

// field writes the name of a field, whose value is to follow.
func (o object) field(name string) *encoder {
	o.key(name)
	if o.json {
		return o.encoder
	}
	at := o.header
	if o.dst[at] == mpMap16 {
		at += 2
	}
	o.dst[at]++
	return o.encoder
}

// optional writes a field that is left out when empty.
func (o object) optional(name, value string) { o.unless(name, value, "") }

// unless writes a field that is left out when it is empty and so is what a
// decoder would assume.
func (o object) unless(name, value, assumed string) {
	if value != "" || assumed != "" {
		o.field(name).text(value)
	}
}

// texts writes a list that is left out when empty.
func (o object) texts(name string, values []string) {
	if len(values) > 0 {
		o.field(name).list(values)
	}
}

// number writes a number that is left out when 0.
func (o object) number(name string, value float64) {
	if value != 0 {
		o.field(name).float(value)
	}
}
