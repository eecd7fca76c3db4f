package human

import (
	"math"
	"testing"
)

func TestParseBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "4096": 4096, "1B": 1, "64MiB": 64 << 20, "64 MiB": 64 << 20, "1.5GB": 1.5e9, "2kB": 2000, "3KiB": 3 << 10,
		"1TiB": 1 << 40, "1TB": 1e12, "7999999TiB": 7999999 << 40,
		"": -1, "-1": -1, "1XB": -1, "MiB": -1, "NaN": -1, "Inf": -1, "9e30": -1, "9000000TiB": -1, "64mib": -1,
	} {
		got, err := ParseBytes(text)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestExactBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 1: "1", 1000: "1000", 1024: "1KiB", 3 << 29: "1536MiB", 1 << 40: "1TiB",
		math.MaxInt64: "9223372036854775807"} {
		if got := ExactBytes(n); got != want {
			t.Errorf("%d is written %s, want %s", n, got, want)
		}
	}
}
