package main

import (
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

const output = `goos: linux
BenchmarkQuantum/kept=yes/blobs=10-2   	 100	 2000 ns/op	 4.0 merges/op
BenchmarkQuantum/kept=yes/blobs=10-2   	 100	 1000 ns/op	 4.0 merges/op
BenchmarkQuantum/kept=yes/blobs=10-2   	 100	 9000 ns/op	 4.0 merges/op
BenchmarkQuantum/kept=yes/blobs=5-2    	 100	  500 ns/op	 8.0 merges/op
BenchmarkQuantum/kept=no/blobs=5       	 100	  700 ns/op	 0 merges/op
BenchmarkQuantum/kept=no/blobs=many-2  	 100	  700 ns/op	 8.0 merges/op
BenchmarkOther-2                       	 100	  700 ns/op
PASS
`

func TestLines(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		unit string
		want []line
	}{
		{"ns/op", []line{{"Quantum kept=no", []point{{5, 700}}}, {"Quantum kept=yes", []point{{5, 500}, {10, 2000}}}}},
		{"merges/op", []line{{"Quantum kept=yes", []point{{5, 8}, {10, 4}}}}},
		{"B/op", nil},
	} {
		if got := linesOf(output, "blobs", tc.unit); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.unit, got, tc.want)
		}
	}
}

func TestDrawingIsXML(t *testing.T) {
	t.Parallel()
	var svg strings.Builder
	if err := run(strings.NewReader(output), &svg, "a < b", "blobs", []string{"ns/op", "merges/op"}); err != nil {
		t.Fatal(err)
	}
	lines := 0
	for d := xml.NewDecoder(strings.NewReader(svg.String())); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "polyline" {
			lines++
		}
	}
	if lines != 3 || !strings.Contains(svg.String(), "a &lt; b") || strings.Contains(svg.String(), "NaN") {
		t.Errorf("%d lines in\n%s", lines, svg.String())
	}
}

func TestNothingToDrawIsAnError(t *testing.T) {
	t.Parallel()
	if err := run(strings.NewReader(output), io.Discard, "", "blobs", []string{"B/op"}); err == nil {
		t.Error("an empty plot was drawn")
	}
}
