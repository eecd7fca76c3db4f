package dynamoindex

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxPartitions is the most requests that one query makes at once.
const maxPartitions = 64

// Options are the settings of New that have defaults; nil is all of them.
type Options struct {
	// Partitions is over how many partition keys each row is spread at least,
	// 1 to 64; 1, Scope's layout, when 0. The first Put has the table remember
	// a number greater than the one it knows, which takes effect 65 s and
	// Timeout later for all who use the table, as the package comment says,
	// and never shrinks again.
	Partitions int

	// Lateness is a promise about all writers of the table: none puts an entry
	// later than this after the entry's instant. What is older can then be
	// read at half the price. 0 promises nothing.
	Lateness time.Duration

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
	// taken; Query makes one for each page of 1 MB; once a minute there is one
	// more before.
	Timeout time.Duration

	// Registerer takes the metrics, nil for none. Indexes that share a
	// registerer and a namespace share their metrics.
	Registerer prometheus.Registerer
	// Namespace begins the metrics' names, "timeblob" when empty.
	Namespace string

	// Now is the clock that Partitions, Lateness, Retention and the budget of
	// retries look at, time.Now when nil.
	Now func() time.Time
}

// filled returns a copy with the defaults filled in, or what is wrong.
func (o *Options) filled() (Options, error) {
	if o == nil {
		o = &Options{}
	}
	full := *o
	fill(&full.Partitions, 1)
	fill(&full.Attempts, 5)
	fill(&full.AttemptTimeout, 2*time.Second)
	fill(&full.Timeout, 10*time.Second)
	fill(&full.Namespace, "timeblob")
	if full.Now == nil {
		full.Now = time.Now
	}
	return full, full.check()
}

func (o *Options) check() error {
	switch {
	case o.Partitions < 1 || o.Partitions > maxPartitions:
		return fmt.Errorf("%d partitions: must be 1 to %d", o.Partitions, maxPartitions)
	case o.Attempts < 1 || o.Attempts > 20:
		return fmt.Errorf("%d attempts: must be 1 to 20", o.Attempts)
	case o.Retention != 0 && o.Retention < time.Hour:
		return fmt.Errorf("retention of %v: must be 0 or at least 1h", o.Retention)
	case o.Lateness < 0:
		return fmt.Errorf("lateness of %v: must not be negative", o.Lateness)
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
