package codectest

import (
	"hash/maphash"
	"math"
	"reflect"
	"unsafe"
)

var seed = maphash.MakeSeed()

// imprint returns a hash of a value and all that it points to, unexported fields
// included. Two imprints of one value differ when somebody wrote to it in between.
func imprint[T any](v T) uint64 {
	p := printer{seen: make(map[unsafe.Pointer]bool)}
	return p.of(reflect.ValueOf(&v).Elem())
}

// printer walks one value. Pointers are followed once.
type printer struct{ seen map[unsafe.Pointer]bool }

// mix returns a hash of parts in their order.
func mix(parts ...uint64) (sum uint64) {
	for _, part := range parts {
		sum = maphash.Comparable(seed, [2]uint64{sum, part})
	}
	return sum
}

func (p *printer) of(v reflect.Value) uint64 {
	kind := uint64(v.Kind())
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return mix(kind, 1)
		}
		return mix(kind, 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return mix(kind, uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return mix(kind, v.Uint())
	case reflect.Float32, reflect.Float64:
		return mix(kind, math.Float64bits(v.Float()))
	case reflect.Complex64, reflect.Complex128:
		return mix(kind, math.Float64bits(real(v.Complex())), math.Float64bits(imag(v.Complex())))
	case reflect.String:
		return mix(kind, maphash.String(seed, v.String()))
	case reflect.Array, reflect.Slice:
		return p.list(v)
	case reflect.Struct:
		return p.fields(v)
	case reflect.Map:
		return p.entries(v)
	case reflect.Pointer, reflect.Interface:
		return p.target(v)
	}
	return kind // channels and functions are what they are
}

func (p *printer) list(v reflect.Value) uint64 {
	parts := []uint64{uint64(v.Len())}
	for i := range v.Len() {
		parts = append(parts, p.of(v.Index(i)))
	}
	return mix(parts...)
}

func (p *printer) fields(v reflect.Value) uint64 {
	parts := make([]uint64, v.NumField())
	for i := range parts {
		parts[i] = p.of(v.Field(i))
	}
	return mix(parts...)
}

// entries does not depend on the order of the map.
func (p *printer) entries(v reflect.Value) uint64 {
	sum := uint64(v.Len())
	for it := v.MapRange(); it.Next(); {
		inner := printer{seen: make(map[unsafe.Pointer]bool)} // as the order of entries is random
		sum += mix(inner.of(it.Key()), inner.of(it.Value()))
	}
	return mix(sum)
}

func (p *printer) target(v reflect.Value) uint64 {
	if v.IsNil() {
		return mix(uint64(v.Kind()))
	}
	if v.Kind() == reflect.Pointer {
		if p.seen[v.UnsafePointer()] {
			return mix(1)
		}
		p.seen[v.UnsafePointer()] = true
	}
	return mix(p.of(v.Elem()), 2)
}
