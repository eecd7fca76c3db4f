package dynamoindex

import (
	"net/http"
	"sync/atomic"
	"time"
)

// clock knows the time of DynamoDB from the Date header of its responses.
type clock struct{ last atomic.Pointer[reading] }

// reading is what one response said, and when it came. The instant it came
// has Go's monotonic clock, so that a jump of the wall clock does not matter.
type reading struct{ date, came time.Time }

// set takes the Date header of a response. A header that does not parse is
// ignored. DynamoDB Local sends none: then the process's clock is the store's,
// since that server is for tests and runs on the same machine.
func (c *clock) set(header string) {
	now := time.Now()
	if header == "" {
		c.last.Store(&reading{now, now})
		return
	}
	if date, err := http.ParseTime(header); err == nil {
		c.last.Store(&reading{date, now})
	}
}
