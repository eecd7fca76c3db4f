package journal

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sync says when Append forces records to the disk. A record for which Append
// has returned survives a SIGKILL of the process in every mode.
type Sync int

const (
	// Always forces a record to the disk before Append returns. Appends that
	// wait at the same time share one fdatasync. A record survives a power
	// failure.
	Always Sync = iota
	// Interval forces records to the disk every Options.Every. A power failure
	// loses at most the records of the last interval.
	Interval
	// Off leaves it to the operating system when records reach the disk.
	Off
)

var syncNames = [...]string{"always", "interval", "off"}

func (s Sync) String() string {
	if s < 0 || int(s) >= len(syncNames) {
		return fmt.Sprintf("Sync(%d)", int(s))
	}
	return syncNames[s]
}

// MarshalText returns always, interval or off.
func (s Sync) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads always, interval or off, so that flag.TextVar can.
func (s *Sync) UnmarshalText(text []byte) error {
	for i, name := range syncNames {
		if name == string(text) {
			*s = Sync(i)
			return nil
		}
	}
	return fmt.Errorf("journal: %q is none of always, interval, off", text)
}

// Options change how a journal works. The zero value of each field means its
// default.
type Options struct {
	// Sync says when records are forced to the disk. The default is Always.
	Sync Sync
	// Every is the time between two syncs in mode Interval. The default is
	// 100 ms.
	Every time.Duration

	// SegmentBytes is the size from which on a segment gets no further
	// records. The default is 64 MiB. A segment grows over it by at most one
	// batch: 4 MiB, or one larger record.
	SegmentBytes int64
	// MaxBytes bounds the bytes of all segments. Append refuses records one
	// segment earlier, which leaves room to move records that wait for long. A journal
	// that is full takes up to half a segment more while it moves records.
	// The default is 4 GiB. It must be at least four segments. Damaged
	// segments that are kept aside take up to an eighth of MaxBytes more.
	MaxBytes int64
	// Keep is how long records stay readable by Replay after they were
	// written, even when End was called for them. It serves to recognise
	// repeated values after a restart. Segments are removed earlier when the
	// journal has reached half of MaxBytes. The default is 0.
	Keep time.Duration

	// ReadOnly opens a journal to look at it. Nothing in the directory is
	// changed, Append fails, and End does nothing.
	ReadOnly bool

	// Registerer gets the metrics, their names begin with Namespace. It may be
	// nil.
	Registerer prometheus.Registerer
	Namespace  string

	files files         // in place of the operating system's, for tests
	pause time.Duration // after a fault of the disk, before it is used again
}

func (o *Options) withDefaults() (Options, error) {
	var d Options
	if o != nil {
		d = *o
	}
	orElse(&d.Every, 100*time.Millisecond)
	orElse(&d.SegmentBytes, 64<<20)
	orElse(&d.MaxBytes, max(4<<30, 4*d.SegmentBytes))
	orElse(&d.pause, time.Second)
	if d.files == nil {
		d.files = osFiles{}
	}
	switch {
	case d.Sync < Always || d.Sync > Off:
		return d, fmt.Errorf("journal: Options.Sync is %v", d.Sync)
	case d.SegmentBytes < 0 || d.Every < 0 || d.Keep < 0:
		return d, fmt.Errorf("journal: SegmentBytes, Every and Keep must not be negative")
	case d.MaxBytes < 4*d.SegmentBytes:
		return d, fmt.Errorf("journal: Options.MaxBytes is %d, which is less than four segments of %d bytes", d.MaxBytes, d.SegmentBytes)
	}
	return d, nil
}

func orElse[N int64 | time.Duration](field *N, otherwise N) {
	if *field == 0 {
		*field = otherwise
	}
}
