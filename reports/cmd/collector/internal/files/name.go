package files

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Time returns the instant in a report file's name, which has the form "<unix nanoseconds>.<ending>".
func Time(base string) (int64, error) {
	stem, _, _ := strings.Cut(base, ".")
	t, err := strconv.ParseInt(stem, 10, 64)
	if err != nil || strconv.FormatInt(t, 10) != stem {
		return 0, fmt.Errorf("the name %.100q does not begin with the time in Unix nanoseconds, as 1795332870932684457.msgpack.gz", base)
	}
	if t == math.MaxInt64 {
		return 0, fmt.Errorf("the name %.100q is the last instant that there is, which no range reaches", base)
	}
	return t, nil
}
