package plan

import (
	"math"
	"time"

	"pgregory.net/rapid"
)

// anyInstant favours the ends of hours, of quanta and of time.
func anyInstant() *rapid.Generator[int64] {
	near := func(point int64) *rapid.Generator[int64] {
		return rapid.Map(rapid.Int64Range(-3, 3), func(d int64) int64 {
			if d > 0 && point > math.MaxInt64-d || d < 0 && point < math.MinInt64-d {
				return point
			}
			return point + d
		})
	}
	return rapid.OneOf(rapid.Int64(), near(math.MinInt64), near(math.MaxInt64), near(0), near(472222*int64(time.Hour)), near(-int64(time.Hour)),
		near(math.MinInt64/int64(time.Hour)*int64(time.Hour)), near(math.MaxInt64/int64(time.Hour)*int64(time.Hour)))
}
