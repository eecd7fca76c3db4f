package merged

import (
	"bytes"
	"context"
	"math"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/tiered"
)

// maxAsked is the length of a range that is asked for as it is. Of a longer one
// only the hours with values are asked for, unless the store has roll-ups, which
// may be all that is left of a value.
const maxAsked = 2 * 366 * 24 * time.Hour

// A reader reads values in runs of limited length. Neighbours in a run are at most maxGap apart, so that a
// question about years reads only hours with values.
const (
	maxRun = 256
	maxGap = int64(time.Hour)
)

// Answer is the merge of a range.
type Answer struct {
	Report  *report.Report
	Values  int              // values that are merged in Report
	Missing []bucket.Missing // values that cannot be read, of a partial answer

	From, To time.Time // the range that was answered, of a question that asked to round
}

// Read returns the merge of a tenant's values in [from, to). It fails if a value
// cannot be read, unless the options allow a partial answer. It holds the merge and one run
// in memory.
func Read(ctx context.Context, s *stores.Store, tenant string, from, to time.Time, opts *bucket.RangeOptions) (a Answer, err error) {
	values, past, err := Past(s, nil)
	if err != nil {
		return a, err
	}
	defer values.Close(ctx) // the authority has what the caches lack
	levels, err := past.LevelSpans(ctx, tenant, from, from)
	if err != nil {
		return a, err
	}
	if len(levels) > 0 || to.Sub(from) <= maxAsked {
		return readWhole(ctx, past, tenant, from, to, opts)
	}
	r := reader{past: past, tenant: tenant, opts: *opts}
	for e, err := range s.Entries(ctx, tenant, from.UnixNano(), to.UnixNano()) {
		if err != nil {
			return a, err
		}
		if err := r.take(ctx, e.Time); err != nil {
			return a, err
		}
	}
	if err := r.merge(ctx); err != nil {
		return a, err
	}
	r.Report, err = r.sum.Total()
	return r.Answer, err
}

// readWhole asks for a range as it is.
func readWhole(ctx context.Context, past *bucket.Quantizer[*report.Report], tenant string, from, to time.Time, opts *bucket.RangeOptions) (a Answer, err error) {
	whole, err := past.Range(ctx, tenant, from, to, opts)
	if err != nil {
		return a, err
	}
	a = Answer{Report: whole.Value, Values: whole.Entries, Missing: whole.Missing, From: whole.From, To: whole.To}
	if whole.Entries == 0 {
		a.Report, err = report.Merge(nil)
	}
	return a, err
}

// reader merges stored values run by run.
type reader struct {
	past        *bucket.Quantizer[*report.Report]
	tenant      string
	opts        bucket.RangeOptions
	Answer      // without its Report
	sum         Sum
	first, last int64 // the range of the current run
	run         int   // the number of values in the current run
}

// take adds an instant to the current run. If the instant does not fit, take first merges the run.
func (r *reader) take(ctx context.Context, t int64) error {
	if r.run == maxRun || r.run > 0 && t-r.last > maxGap {
		if err := r.merge(ctx); err != nil {
			return err
		}
	}
	if r.run == 0 {
		r.first = t
	}
	r.last = t
	r.run++
	return nil
}

// merge adds the run to the sum.
func (r *reader) merge(ctx context.Context) error {
	if r.run == 0 {
		return nil
	}
	r.run = 0
	part, err := r.past.Range(ctx, r.tenant, time.Unix(0, r.first), time.Unix(0, r.last+1), &r.opts)
	if err != nil {
		return err
	}
	r.Values += part.Entries
	r.Missing = append(r.Missing, part.Missing...)
	if part.Entries == 0 {
		return nil
	}
	return r.sum.Add(part.Value)
}

// Past returns a quantizer for the store, and its values, which the caller must close. It caches nothing,
// because the process asks once. Levels say which roll-ups it builds; nil: none.
func Past(s *stores.Store, levels *bucket.LevelOptions) (*tiered.Store[*report.Report], *bucket.Quantizer[*report.Report], error) {
	values, err := tiered.New(wire.Upgrading{Codec: s.Blobs}, s.Authority, &tiered.Options[*report.Report]{Memory: -1, Caches: s.Caches})
	if err != nil {
		return nil, nil, err
	}
	past, err := bucket.NewQuantizer(s.Index, values, report.Merge,
		&bucket.QuantizerOptions[*report.Report]{CacheBytes: -1, Size: report.Size, Equal: sameButID, Levels: levels, MaxEntries: math.MaxInt})
	return values, past, err
}

// sameButID reports whether two reports say the same. Their IDs tell how they were merged.
func sameButID(a, b *report.Report) bool {
	x, y := *a, *b
	x.ID, y.ID = "", ""
	first, err := wire.AppendMsgpack(nil, &x)
	second, failed := wire.AppendMsgpack(nil, &y)
	return err == nil && failed == nil && bytes.Equal(first, second)
}
