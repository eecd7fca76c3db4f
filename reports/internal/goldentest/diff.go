package goldentest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Diff returns one line for each place where two JSON texts differ in meaning,
// in the order of the paths. An error means that one of them is not JSON.
// The path that ignore gets is valid only during its call.
func Diff(got, want []byte, ignore func(path []string) bool) ([]string, error) {
	a, err := parse(got)
	if err != nil {
		return nil, fmt.Errorf("got is not JSON: %w", err)
	}
	b, err := parse(want)
	if err != nil {
		return nil, fmt.Errorf("want is not JSON: %w", err)
	}
	if ignore == nil {
		ignore = func([]string) bool { return false }
	}
	d := differ{ignore: ignore}
	d.compare(nil, a, b)
	return d.lines, nil
}

func parse(text []byte) (any, error) {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, err
	}
	return canonical("", v), nil
}

// canonical returns v with empty fields removed and unordered lists sorted;
// name is the field that v is the value of.
func canonical(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		return canonicalObject(name, v)
	case []any:
		return canonicalList(name, v)
	}
	return v
}

func canonicalObject(name string, object map[string]any) any {
	for key, field := range object {
		field = canonical(key, field)
		object[key] = field
		if empty(field) {
			delete(object, key)
		}
	}
	if value, ok := object["value"].(string); ok && name == "active_controls" {
		parts := strings.Split(value, ";")
		slices.Sort(parts)
		object["value"] = strings.Join(parts, ";")
	}
	return object
}

func canonicalList(name string, list []any) any {
	for i := range list {
		list[i] = canonical("", list[i])
	}
	if name == "children" || name == "Plugins" {
		sortByText(list)
	}
	return list
}

// sortByText sorts a list by the texts of its elements. Each text is made once.
func sortByText(list []any) {
	type element struct {
		text  string
		value any
	}
	elements := make([]element, len(list))
	for i, v := range list {
		elements[i] = element{text(v), v}
	}
	slices.SortFunc(elements, func(a, b element) int { return strings.Compare(a.text, b.text) })
	for i, e := range elements {
		list[i] = e.value
	}
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

type differ struct {
	ignore func([]string) bool
	lines  []string
}

func (d *differ) compare(path []string, got, want any) {
	if d.ignore(path) {
		return
	}
	a, isObject := got.(map[string]any)
	b, both := want.(map[string]any)
	if isObject && both {
		d.objects(path, a, b)
		return
	}
	x, isList := got.([]any)
	y, both := want.([]any)
	if isList && both && len(x) == len(y) {
		d.lists(path, x, y)
		return
	}
	if !same(got, want) {
		d.lines = append(d.lines, fmt.Sprintf("%s: got %.200s, want %.200s", strings.Join(path, "/"), text(got), text(want)))
	}
}

// same reports whether two values have the same text. It makes no texts for two strings or two numbers.
func same(got, want any) bool {
	switch got.(type) {
	case string, float64:
		return got == want
	}
	return text(got) == text(want)
}

func (d *differ) objects(path []string, got, want map[string]any) {
	keys := slices.AppendSeq(make([]string, 0, len(got)), maps.Keys(got))
	for key := range want {
		if _, both := got[key]; !both {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		d.compare(append(path, key), got[key], want[key])
	}
}

func (d *differ) lists(path []string, got, want []any) {
	for i := range got {
		d.compare(append(path, strconv.Itoa(i)), got[i], want[i])
	}
}
