package s3blob

import (
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of a Tier; nil means the defaults.
type Options struct {
	// Parallel is how many objects are read at a time, over all callers of
	// the tier. Default 64. It bounds the memory of reads to Parallel times
	// MaxBlob beside what Get returns.
	Parallel int
	// MaxBlob is the most bytes that a blob may have: a longer one is neither
	// stored nor read, but an error that is ErrTooLarge. Default 64 MiB.
	MaxBlob int64

	// AttemptTimeout bounds one request, from sending it to the last byte of
	// its answer. Default 4 s, so that a request that hangs is tried again
	// well within the 10 s that a collector gives an attempt to store a value;
	// raise both for blobs that take longer.
	AttemptTimeout time.Duration
	// Timeout bounds the reading or writing of one object, with all of its
	// requests and the waits between them. Default 30 s. A Get of many keys
	// may take longer, because it waits while Parallel other objects are being
	// read: bound it with the context.
	Timeout time.Duration
	// Attempts is the most requests for one object. Default 8: when 20 % of
	// requests fail, one object of 400 000 then does. RetryRate bounds what an
	// outage costs.
	Attempts int

	// ContentType of the objects that Put makes. Default
	// application/octet-stream.
	ContentType string
	// PathStyle puts the bucket's name into the path of URLs instead of the
	// host's name, as most S3-compatible servers want it.
	PathStyle bool
	// Unconditional is for servers that do not know If-None-Match: Put asks
	// whether the key is taken and then writes, which is one request more. Put
	// then keeps its promise not to overwrite only as long as this Tier is the
	// bucket's only writer: two tiers that write the same key at the same time
	// may both be told that they succeeded.
	Unconditional bool

	// RetryRate is how many retries a second the tier may make on average, over
	// all requests, besides retries that earlier successes have earned. Default 1.
	// As many retries as Parallel are saved up, and 100 at least.
	RetryRate float64

	// Logger is told what the server cannot do. Default slog.Default().
	Logger *slog.Logger
	// Registerer takes the metrics; nil: they are not registered. Tiers that
	// share a registerer and a namespace share their metrics.
	Registerer prometheus.Registerer
	// Namespace begins the metrics' names; default "timeblob".
	Namespace string

	// Now is the clock of durations and of the budget of retries; default time.Now.
	Now func() time.Time
}

// withDefaults returns the options with their defaults filled in, or an error
// that names the wrong one.
func (o *Options) withDefaults() (Options, error) {
	var all Options
	if o != nil {
		all = *o
	}
	setDefault(&all.Parallel, 64)
	setDefault(&all.MaxBlob, 64<<20)
	setDefault(&all.AttemptTimeout, 4*time.Second)
	setDefault(&all.Timeout, 30*time.Second)
	setDefault(&all.Attempts, 8)
	setDefault(&all.ContentType, "application/octet-stream")
	setDefault(&all.RetryRate, 1)
	setDefault(&all.Logger, slog.Default())
	setDefault(&all.Namespace, "timeblob")
	if all.Now == nil {
		all.Now = time.Now
	}
	return all, all.check()
}

func (o *Options) check() error {
	switch {
	case o.Parallel < 0:
		return errors.New("s3blob: Options.Parallel must not be negative")
	case o.MaxBlob < 0 || o.MaxBlob > maxPut:
		return errors.New("s3blob: Options.MaxBlob must be between 0 and 5 GiB, the most that S3 takes in one request")
	case o.AttemptTimeout < 0 || o.Timeout < 0:
		return errors.New("s3blob: Options.AttemptTimeout and Timeout must not be negative")
	case o.Attempts < 0:
		return errors.New("s3blob: Options.Attempts must not be negative")
	case !(o.RetryRate > 0): // NaN is not
		return errors.New("s3blob: Options.RetryRate must be positive")
	}
	return nil
}

// maxPut is the most bytes that S3 takes in one PUT.
const maxPut = 5 << 30

func setDefault[V comparable](field *V, value V) {
	var zero V
	if *field == zero {
		*field = value
	}
}

// ErrTooLarge is the error of a blob with more than Options.MaxBlob bytes. It has
// a method TooLarge, by which a collector knows that it must not be put again.
var ErrTooLarge error = tooLargeError{}

type tooLargeError struct{}

func (tooLargeError) Error() string { return "larger than Options.MaxBlob" }

func (tooLargeError) TooLarge() bool { return true }
