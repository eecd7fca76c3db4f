package dynamoindex

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options are the settings of New that have defaults; nil is all of them.
type Options struct {
	// Retention is how long after its instant an entry is kept, at least an
	// hour; 0 is for ever. It holds for the entries that this index puts, and
	// lets CreateTable turn DynamoDB's TTL on.
	Retention time.Duration

	// Attempts is how often a request is sent at most, 1 to 20; 5 when 0.
	Attempts int

	// AttemptTimeout bounds one attempt, from connecting to the last byte of
	// the answer; 2 s when 0.
	AttemptTimeout time.Duration

	// Timeout bounds a request with all its attempts and the pauses between
	// them; 10 s when 0. Put makes one request, or two when the instant is
	// taken. Query makes one for each page of 1 MB. The first call makes one
	// more.
	Timeout time.Duration

	// RetryRate is how many retries a second the index may make on average,
	// over all requests, besides retries that earlier successes have earned;
	// 10 when 0. Up to 100 retries are saved up.
	RetryRate float64

	// Registerer takes the metrics, nil for none. Indexes that share a
	// registerer and a namespace share their metrics.
	Registerer prometheus.Registerer
	// Namespace begins the metrics' names, "timeblob" when empty.
	Namespace string

	// Now is the clock of Retention and of the budget of retries, time.Now
	// when nil.
	Now func() time.Time
}

// filled returns a copy with the defaults filled in, or an error.
func (o *Options) filled() (Options, error) {
	if o == nil {
		o = &Options{}
	}
	full := *o
	fill(&full.Attempts, 5)
	fill(&full.AttemptTimeout, 2*time.Second)
	fill(&full.Timeout, 10*time.Second)
	fill(&full.RetryRate, 10)
	fill(&full.Namespace, "timeblob")
	if full.Now == nil {
		full.Now = time.Now
	}
	return full, full.check()
}

func (o *Options) check() error {
	switch {
	case o.Attempts < 1 || o.Attempts > 20:
		return fmt.Errorf("%d attempts: must be 1 to 20", o.Attempts)
	case o.Retention != 0 && o.Retention < time.Hour:
		return fmt.Errorf("retention of %v: must be 0 or at least 1h", o.Retention)
	case !(o.RetryRate > 0): // NaN is not
		return fmt.Errorf("%v retries a second: must be positive", o.RetryRate)
	case o.AttemptTimeout < 0 || o.Timeout < 0:
		return fmt.Errorf("timeouts of %v an attempt and %v in all: must not be negative", o.AttemptTimeout, o.Timeout)
	}
	return nil
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
