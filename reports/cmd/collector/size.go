package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// size is a flag that holds a number of bytes.
type size int64

// units are what a size may end in, the longest first.
var units = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

func (s *size) String() string {
	for i := 3; i >= 0; i-- {
		if unit := int64(units[i].bytes); *s != 0 && int64(*s)%unit == 0 {
			return strconv.FormatInt(int64(*s)/unit, 10) + units[i].name
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Set reads a number of bytes with or without a unit, such as 64MiB, 1.5GB or
// 4096.
func (s *size) Set(text string) error {
	for _, unit := range units {
		number, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(n >= 0 && n*unit.bytes < math.MaxInt64) {
			break
		}
		*s = size(n * unit.bytes)
		return nil
	}
	return errors.New("must be a number of bytes, as 64MiB, 1.5GB or 4096")
}

// size defines a flag of a number of bytes.
func (f *flags) size(name string, value size, usage string) *size {
	s := &value
	f.Var(s, name, usage)
	return s
}
