// Package bytesize reads and writes numbers of bytes as people do, such as
// 64MiB.
package bytesize

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// units are what a number may end in, the longest first.
var units = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// Parse reads a number of bytes with or without a unit, such as 64MiB, 1.5GB
// or 4096. Its error does not repeat the text.
func Parse(text string) (int64, error) {
	for _, unit := range units {
		number, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(n >= 0 && n*unit.bytes < math.MaxInt64) {
			break
		}
		return int64(n * unit.bytes), nil
	}
	return 0, errors.New("must be a number of bytes, as 64MiB, 1.5GB or 4096")
}

// Format writes a number of bytes such that Parse reads it back.
func Format(n int64) string {
	for i := 3; i >= 0; i-- {
		if unit := int64(units[i].bytes); n != 0 && n%unit == 0 {
			return strconv.FormatInt(n/unit, 10) + units[i].name
		}
	}
	return strconv.FormatInt(n, 10)
}
