package remote_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/remote"
)

// daily has values of whole days only: it rounds ranges, or refuses them.
type daily struct{ remote.Questions[counts] }

const day = 24 * time.Hour

func (daily) RangeMany(_ context.Context, tenants []string, from, to time.Time, opts *bucket.RangeOptions) (bucket.Answer[counts], error) {
	coarser := &bucket.CoarserError{Tenant: tenants[0], From: from, To: to, NearestFrom: from.Truncate(day), NearestTo: to.Add(day - 1).Truncate(day)}
	if !opts.Round {
		return bucket.Answer[counts]{}, coarser
	}
	return bucket.Answer[counts]{Value: counts{"n": 1}, Entries: 1, From: coarser.NearestFrom, To: coarser.NearestTo}, nil
}

func (d daily) Steps(ctx context.Context, tenant string, from, to time.Time, _ time.Duration, opts *bucket.RangeOptions) iter.Seq2[bucket.Step[counts], error] {
	return func(yield func(bucket.Step[counts], error) bool) {
		if yield(bucket.Step[counts]{From: from, To: to}, nil) {
			_, err := d.RangeMany(ctx, []string{tenant}, from, to, opts)
			yield(bucket.Step[counts]{}, err)
		}
	}
}

// TestCoarser asks for ranges that only longer spans hold, over one connection
// and over two, with the error before the answer's first byte and behind it.
func TestCoarser(t *testing.T) {
	t.Parallel()
	near := serve(t, nil, daily{}, nil)
	midnight := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	from, to := midnight.Add(time.Nanosecond), midnight.Add(30*time.Hour)
	for name, client := range map[string]*remote.Client[counts]{"one connection": near, "two": serve(t, nil, near, nil)} {
		_, whole := client.Range(t.Context(), "acme", from, to, nil)
		steps, midway := 0, error(nil)
		for _, err := range client.Steps(t.Context(), "acme", from, to, time.Hour, nil) {
			steps++
			midway = err
		}
		if steps != 2 {
			t.Errorf("%s: %d steps", name, steps)
		}
		for _, err := range []error{whole, midway} {
			said, _ := errors.AsType[*remote.Error](err)
			got, ok := errors.AsType[*bucket.CoarserError](err)
			if !ok || said == nil || said.Reason != remote.Coarser {
				t.Fatalf("%s: %v", name, err)
			}
			if got.Tenant != "acme" || !got.From.Equal(from) || !got.To.Equal(to) || !got.NearestFrom.Equal(midnight) || !got.NearestTo.Equal(midnight.Add(2*day)) {
				t.Errorf("%s: %+v", name, got)
			}
		}
		a, err := client.Range(t.Context(), "acme", from, to, &bucket.RangeOptions{Round: true})
		if err != nil || a.Value["n"] != 1 || !a.From.Equal(midnight) || !a.To.Equal(midnight.Add(2*day)) {
			t.Errorf("%s: rounded: %+v, %v", name, a, err)
		}
	}
}
