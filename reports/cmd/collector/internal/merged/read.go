package merged

import (
	"context"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/tiered"
)

// upgrading decodes stored reports and brings them to the form of today.
type upgrading struct{ wire.Codec }

func (c upgrading) Decode(blob []byte) (*report.Report, error) {
	r, err := c.Codec.Decode(blob)
	if err != nil {
		return nil, err
	}
	return report.Upgrade(r)
}

// A reader reads the values of the store in runs of at most that many, in
// which no two neighbours are further apart than maxGap: a question about years
// costs what was stored in them, and not one look for each of their hours.
const (
	maxRun = 256
	maxGap = int64(time.Hour)
)

// Read returns the merge of a tenant's values in [from, to), and how many they
// are. It holds the merge and no more than one run in memory.
func Read(ctx context.Context, s *stores.Store, tenant string, from, to time.Time) (*report.Report, int, error) {
	values, past, err := pastOf(s)
	if err != nil {
		return nil, 0, err
	}
	defer values.Close(ctx) // what has not reached a cache then the authority has
	r := reader{past: past, tenant: tenant}
	for e, err := range s.Entries(ctx, tenant, from.UnixNano(), to.UnixNano()) {
		if err != nil {
			return nil, 0, err
		}
		if err := r.take(ctx, e.Time); err != nil {
			return nil, 0, err
		}
	}
	if err := r.merge(ctx); err != nil {
		return nil, 0, err
	}
	merged, err := r.sum.Total()
	return merged, r.count, err
}

// reader merges stored values, run by run.
type reader struct {
	past        *bucket.Quantizer[*report.Report]
	tenant      string
	sum         Sum
	count       int   // values met
	first, last int64 // the instants of the run that was begun
	run         int   // its values
}

// take adds an instant to the run, and merges the one before where it cannot.
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
	r.count++
	return nil
}

// merge adds the run to the sum.
func (r *reader) merge(ctx context.Context) error {
	if r.run == 0 {
		return nil
	}
	r.run = 0
	part, err := r.past.Range(ctx, r.tenant, time.Unix(0, r.first), time.Unix(0, r.last+1), nil)
	if err != nil {
		return err
	}
	return r.sum.Add(part.Value)
}

// pastOf returns what answers questions about the store, and the values beneath
// it, which are to be closed. It keeps nothing, since a process asks once.
func pastOf(s *stores.Store) (*tiered.Store[*report.Report], *bucket.Quantizer[*report.Report], error) {
	values, err := tiered.New(upgrading{stores.Blobs}, s.Authority, &tiered.Options[*report.Report]{Memory: -1, Caches: s.Caches})
	if err != nil {
		return nil, nil, err
	}
	past, err := bucket.NewQuantizer(s.Index, values, report.Merge,
		&bucket.QuantizerOptions[*report.Report]{CacheBytes: -1, Size: report.Size})
	return values, past, err
}
