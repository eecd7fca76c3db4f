package human

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteUnits are the units that ParseBytes reads, binary units first. The empty unit
// comes last, because every text ends in it.
var byteUnits = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// ParseBytes reads a number of bytes with or without a unit, such as 64MiB, 1.5GB
// or 4096. Its error does not repeat the text.
func ParseBytes(text string) (int64, error) {
	for _, unit := range byteUnits {
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
	return 0, errors.New("must be a number of bytes, such as 64MiB, 1.5GB or 4096")
}

// ExactBytes writes a number of bytes without rounding, such as 1536MiB.
// ParseBytes reads the result.
func ExactBytes(n int64) string {
	for i := 3; i >= 0; i-- {
		if unit := int64(byteUnits[i].bytes); n != 0 && n%unit == 0 {
			return strconv.FormatInt(n/unit, 10) + byteUnits[i].name
		}
	}
	return strconv.FormatInt(n, 10)
}

// Bytes writes a number of bytes, rounded to one decimal of its unit, such as 1.5 MiB.
func Bytes(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, units := float64(n)/(1<<10), "KMGTPE"
	for v >= 1023.95 && len(units) > 1 {
		v, units = v/(1<<10), units[1:]
	}
	return fmt.Sprintf("%.1f %ciB", v, units[0])
}
