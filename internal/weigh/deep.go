package weigh

import (
	"reflect"
	"unsafe"
)

// Bounds of one measurement. Larger values are measured in part, and the rest is
// taken to be like that part.
const (
	maxSteps    = 20_000 // elements, fields and pointers that a measurement visits
	maxElements = 256    // elements of one slice, array or map that it visits
	mapHeader   = 48     // bytes that a map takes without entries
	mapGroup    = 8      // entries that a map makes room for at a time
)

// Deep returns about how many bytes of memory a value takes: itself and all
// that it points to, each pointer's target once. It follows unexported fields
// too. It does not follow channels, functions and unsafe pointers.
func Deep[T any](v T) int64 {
	m := measurement{seen: make(map[unsafe.Pointer]struct{}), left: maxSteps}
	value := reflect.ValueOf(&v).Elem()
	return int64(value.Type().Size()) + int64(m.beyond(value))
}

// measurement is one walk over a value.
type measurement struct {
	seen map[unsafe.Pointer]struct{}
	left int // steps
}

// first reports whether p is not nil and was not seen before.
func (m *measurement) first(p unsafe.Pointer) bool {
	if p == nil {
		return false
	}
	if _, ok := m.seen[p]; ok {
		return false
	}
	m.seen[p] = struct{}{}
	return true
}

// beyond returns the bytes that v points to, without its own.
func (m *measurement) beyond(v reflect.Value) float64 {
	if m.left--; m.left < 0 || flat(v.Type()) {
		return 0
	}
	switch v.Kind() {
	case reflect.String:
		if v.Len() > 0 && m.first(unsafe.Pointer(unsafe.StringData(v.String()))) {
			return float64(v.Len())
		}
	case reflect.Pointer:
		if m.first(v.UnsafePointer()) {
			return float64(v.Type().Elem().Size()) + m.beyond(v.Elem())
		}
	case reflect.Interface:
		if !v.IsNil() {
			return float64(v.Elem().Type().Size()) + m.beyond(v.Elem())
		}
	case reflect.Struct:
		sum := 0.0
		for i := range v.NumField() {
			sum += m.beyond(v.Field(i))
		}
		return sum
	case reflect.Array:
		return m.elements(v)
	case reflect.Slice:
		if v.Cap() > 0 && m.first(v.UnsafePointer()) {
			return float64(v.Cap())*float64(v.Type().Elem().Size()) + m.elements(v)
		}
	case reflect.Map:
		if m.first(v.UnsafePointer()) {
			return m.entries(v)
		}
	}
	return 0
}

// elements returns the bytes that the elements of a slice or an array point to.
func (m *measurement) elements(v reflect.Value) float64 {
	n := v.Len()
	if n == 0 || flat(v.Type().Elem()) {
		return 0
	}
	visited, sum, step := 0, 0.0, max(1, n/maxElements)
	for i := 0; i < n && m.left > 0; i += step {
		sum += m.beyond(v.Index(i))
		visited++
	}
	return extrapolate(sum, visited, n)
}

// entries returns the bytes of a map.
func (m *measurement) entries(v reflect.Value) float64 {
	slots := mapGroup
	for slots < v.Len() {
		slots *= 2
	}
	own := mapHeader + float64(v.Type().Key().Size()+v.Type().Elem().Size()+1)*float64(slots)
	if flat(v.Type().Key()) && flat(v.Type().Elem()) {
		return own
	}
	visited, sum := 0, 0.0
	for entry := v.MapRange(); visited < maxElements && m.left > 0 && entry.Next(); visited++ {
		sum += m.beyond(entry.Key()) + m.beyond(entry.Value())
	}
	return own + extrapolate(sum, visited, v.Len())
}

func extrapolate(sum float64, visited, all int) float64 {
	if visited == 0 {
		return 0
	}
	return sum * float64(all) / float64(visited)
}

// flat reports whether values of a type point to nothing.
func flat(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map:
		return false
	case reflect.Array:
		return flat(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !flat(t.Field(i).Type) {
				return false
			}
		}
	}
	return true
}
