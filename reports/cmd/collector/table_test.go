package main

import (
	"math"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	t.Parallel()
	tab := table{indent: 2, head: true}
	tab.row("NAME", "COUNT", "NOTE")
	tab.row("é", "5", "12")
	tab.row("longer", "1000", "x\x1b[31m\n")
	tab.row(strings.Repeat("y", 80), "0", "")
	var b strings.Builder
	if err := tab.write(&b); err != nil {
		t.Fatal(err)
	}
	y := strings.Repeat("y", 49) + "…"
	space := strings.Repeat(" ", 44)
	want := "  NAME  " + space + "  COUNT  NOTE\n" +
		"  é     " + space + "      5  12\n" +
		"  longer" + space + "   1000  x\ufffd[31m\ufffd\n" +
		"  " + y + "      0\n"
	if b.String() != want {
		t.Errorf("got\n%q, want\n%q", b.String(), want)
	}
}

func TestHumanBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 1_234_567: "1.2 MB", math.MaxInt64: "9.2 EB",
	} {
		if got := humanBytes(n); got != want {
			t.Errorf("%d bytes are %s, want %s", n, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		bytes int64
		shown string
	}{
		"0": {0, "0"}, "4096": {4096, "4KiB"}, "5": {5, "5"}, "5B": {5, "5"}, "1.5GB": {1_500_000_000, "1500000000"},
		"64MiB": {64 << 20, "64MiB"}, "64 MiB": {64 << 20, "64MiB"}, "2TiB": {2 << 40, "2TiB"}, "1.5KiB": {1536, "1536"},
		"": {-1, ""}, "MiB": {-1, ""}, "-1": {-1, ""}, "1 mib": {-1, ""}, "NaN": {-1, ""}, "Inf": {-1, ""}, "1e300TiB": {-1, ""},
	} {
		var s size
		err := s.Set(text)
		if want.bytes == -1 != (err != nil) || err == nil && (int64(s) != want.bytes || s.String() != want.shown) {
			t.Errorf("size %q is %d (%s), %v, want %d (%s)", text, int64(s), s.String(), err, want.bytes, want.shown)
		}
	}
}
