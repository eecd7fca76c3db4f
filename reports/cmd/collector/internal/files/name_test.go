package files

import (
	"testing"
)

func TestFileTime(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int64{
		"1795332870932684457.msgpack.gz": 1795332870932684457,
		"0.json":                         0,
		"-5.json":                        -5,
		"1795332870932684457":            1795332870932684457,
		"":                               -1,
		"-":                              -1,
		"a.json":                         -1,
		"1a.json":                        -1,
		"+1.json":                        -1,
		"01.json":                        -1,
		"9223372036854775806.json":       9223372036854775806,
		"9223372036854775807.json":       -1, // no range reaches it
		"9223372036854775808.json":       -1,
		"-9223372036854775808.json":      -9223372036854775808,
		"-9223372036854775809.json":      -1,
		"1.5.json":                       1,
	} {
		got, err := Time(name)
		if want == -1 != (err != nil) || err == nil && got != want {
			t.Errorf("the time of %q is %d, %v, want %d", name, got, err, want)
		}
	}
}
