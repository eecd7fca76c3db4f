package goldentest

import (
	"slices"
	"testing"
)

func TestDiff(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		got, want string
		lines     int
	}{
		"absent, null and empty":         {`{"a":{"b":null,"c":[],"d":"","e":{}}}`, `{}`, 0},
		"zero is not empty":              {`{"a":0}`, `{}`, 1},
		"numbers by value":               {`{"a":2}`, `{"a":2.0}`, 0},
		"lists have an order":            {`{"a":["x","y"]}`, `{"a":["y","x"]}`, 1 + 1},
		"children have none":             {`{"children":[{"id":"x"},{"id":"y"}]}`, `{"children":[{"id":"y"},{"id":"x"}]}`, 0},
		"children differ":                {`{"children":[{"id":"x"},{"id":"y"}]}`, `{"children":[{"id":"y"},{"id":"z"}]}`, 2},
		"lists of different length":      {`{"a":["x"]}`, `{"a":["x","x"]}`, 1},
		"active_controls have no order":  {`{"active_controls":{"value":"a;b"}}`, `{"active_controls":{"value":"b;a"}}`, 0},
		"active_controls differ":         {`{"active_controls":{"value":"a;b"}}`, `{"active_controls":{"value":"a"}}`, 1},
		"other values have an order":     {`{"host_name":{"value":"a;b"}}`, `{"host_name":{"value":"b;a"}}`, 1},
		"ignored":                        {`{"ID":"x"}`, `{"ID":"y"}`, 0},
		"an element that became nothing": {`{"a":[{}]}`, `{"a":[]}`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id := func(path []string) bool { return slices.Equal(path, []string{"ID"}) }
			lines, err := Diff([]byte(c.got), []byte(c.want), id)
			if err != nil || len(lines) != c.lines {
				t.Errorf("%d differences %q, %v, want %d", len(lines), lines, err, c.lines)
			}
		})
	}
}

func TestDiffRefusesWhatIsNotJSON(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{"{", "{}"}, {"{}", "{"}} {
		if _, err := Diff([]byte(c[0]), []byte(c[1]), nil); err == nil {
			t.Errorf("Diff(%q, %q) took it", c[0], c[1])
		}
	}
}

func TestFilesAreInTheOrderOfTheirBaseNames(t *testing.T) {
	t.Parallel()
	files := Files(t, "hosts/*/*.msgpack.gz")
	if len(files) != 60 {
		t.Fatalf("%d files, want 60", len(files))
	}
	for _, f := range files {
		if data := Inflate(t, f); len(data) == 0 || data[0]&0xf0 != 0x80 && data[0] != 0xde {
			t.Errorf("%s: does not begin with a msgpack map", f)
		}
	}
}
