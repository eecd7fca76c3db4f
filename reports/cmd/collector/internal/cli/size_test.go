package cli

import (
	"testing"
)

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
		var s Size
		err := s.Set(text)
		if want.bytes == -1 != (err != nil) || err == nil && (int64(s) != want.bytes || s.String() != want.shown) {
			t.Errorf("size %q is %d (%s), %v, want %d (%s)", text, int64(s), s.String(), err, want.bytes, want.shown)
		}
	}
}
