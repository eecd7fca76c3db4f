package bucket

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/plan"
	"github.com/timeblob/timeblob/index"
)

// RangeOptions tune a question; nil means the defaults.
type RangeOptions struct {
	// Partial asks for an answer without the values that cannot be read or
	// merged, in place of an error. Answer.Missing names them.
	Partial bool
	// MaxBytes bounds the bytes of memory that the range's stored values may
	// take, as estimated from the lengths of their blobs. A range with more is
	// refused with a *RangeTooLargeError before a blob is read. 0: no bound.
	MaxBytes int64
	// Round asks, in place of a *CoarserError, for the answer of the nearest
	// range around the one given that the stored roll-ups allow. Answer.From and
	// Answer.To say which it is. Only Range, RangeMany and At look at it.
	Round bool
}

func (o *RangeOptions) orDefault() RangeOptions {
	if o == nil {
		return RangeOptions{}
	}
	return *o
}

// Answer is the merge of a range.
type Answer[T any] struct {
	// Value is the merge, the zero value of T when Entries is 0. It is shared:
	// nobody may change it.
	Value T
	// Entries is how many values are merged in Value: values of stored entries and values that are not in the index yet.
	Entries int
	// Missing names what is not in Value. It is empty unless the question
	// allowed a partial answer, or a source of a Querier did not answer.
	Missing []Missing
	// Provisional is the instant from which on more values may still come
	// into the range: the open tick's. It is zero when the range ends before
	// that, and in answers from the index alone.
	Provisional time.Time
	// From and To are the range that was answered; zero unless the question asked
	// to Round.
	From, To time.Time
}

// Step is the answer for one slice of a range.
type Step[T any] struct {
	From, To time.Time // the slice is [From, To)
	Answer[T]
}

// Value is one stored value, and one entry of the index.
type Value[T any] struct {
	Tenant string
	Time   time.Time
	Key    string // its blob's; empty for the value of an open tick
	Value  T      // shared: nobody may change it
	Err    error  // why Value was not read; only when the question allowed a partial answer
}

// Missing is one value that is not in a partial answer. Its fields are
//
//	Tenant string
//	Time   time.Time // the value's instant; zero when a source is missing as a whole
//	Key    string    // its blob's; empty for an open tick, and when a source is missing as a whole
//	Source string    // the collector that did not answer; empty for a stored value
//	Err    error     // why: ErrNoBlob, a *MergeError, a *HeldError, or the store's error
type Missing = plan.Missing

// TooManyError says that a range of a tenant has more entries than one
// question may have. Its fields are
//
//	Tenant string
//	Limit  int // QuantizerOptions.MaxEntries
type TooManyError = plan.TooManyError

// RangeTooLargeError says that the values of a range take more bytes of memory
// than the question allows, or one value more than all questions may use. It is
// returned before a blob is read. Its fields are
//
//	Tenant string
//	Bytes  int64 // the estimate: the blobs' lengths times the memory that a byte of a blob takes
//	Limit  int64
//	Option string // which option sets the limit: MaxBytes for all values of the range, MaxDecodedBytes for each of them
type RangeTooLargeError = plan.RangeTooLargeError

// MissingError says that the index has entries and the store does not have
// their blobs. Its method Keys returns the keys of the blobs. Its fields are
//
//	Tenant  string
//	Entries []index.Entry // at least one, ascending
type MissingError = plan.MissingError

// MergeError says that the merge function refused stored values, or panicked
// on them. It is permanent: the same values are refused again. A partial answer
// leaves them out. Its fields are
//
//	Tenant  string
//	Entries []index.Entry // the values that the others do not merge with; a span's when its merge was refused. An open tick has no key
//	Err     error         // of the merge function; a *PanicError when it panicked
type MergeError = plan.MergeError

// HeldError says that a value which is not in the index yet cannot be read: it came as
// a blob that does not decode, or its journal cannot be read. It is stored as it came,
// by itself. A partial answer leaves it out. Its fields are
//
//	Tenant string
//	Time   time.Time // the value's instant; for a value of an open tick, when that would end
//	Err    error     // the codec's error, a *PanicError when it panicked, or the journal's
type HeldError = plan.HeldError

// StuckError says that one batch of a question about a tenant has taken more than a minute
// while other questions waited for MaxDecodedBytes: the blob store, a codec or a merge has
// not returned. The batch no longer counts. Until it ends, questions about the tenant that
// must read blobs are refused, so that they use no more memory. A batch of several tenants
// counts for each of them. Its field is
//
//	Tenant string
type StuckError = plan.StuckError

// ErrNoBlob is the reason for a missing value when the index has its entry and
// the store has no blob with the entry's key.
var ErrNoBlob = plan.ErrNoBlob

// RangeError says that a range is none: it ends before it begins, or one of
// its ends is too far away.
type RangeError struct {
	From, To time.Time
	Reason   string
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("range from %s to %s: %s", e.From.Format(time.RFC3339Nano), e.To.Format(time.RFC3339Nano), e.Reason)
}

var firstInstant, lastInstant = time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)

// span returns the ends of a range as Unix nanoseconds.
func span(from, to time.Time) (a, b int64, err error) {
	if to.Before(from) {
		return 0, 0, &RangeError{from, to, "ends before it begins"}
	}
	if from.Before(firstInstant) || to.After(lastInstant) {
		return 0, 0, &RangeError{from, to, "must lie between the years 1678 and 2262, as Unix nanoseconds do in 64 bits"}
	}
	return from.UnixNano(), to.UnixNano(), nil
}

// spanOf is span for a question about a tenant, whose id it checks.
func spanOf(tenant string, from, to time.Time) (a, b int64, err error) {
	if err := index.CheckTenant(tenant); err != nil {
		return 0, 0, err
	}
	return span(from, to)
}

// checkTenants returns the error of the first id that is none, so that no driver sees it.
func checkTenants(tenants []string) error {
	for _, tenant := range tenants {
		if err := index.CheckTenant(tenant); err != nil {
			return err
		}
	}
	return nil
}

// known is what the index and the sources have of one tenant's range. No roll-up
// covers an instant of what the sources hold.
type known[T any] struct {
	series      plan.Series
	live        []plan.Extra[T] // what sources hold beside the entries
	missing     []Missing       // sources
	provisional time.Time       // from here on values may still come; zero: none
}

// gathered is what the index and the sources have of a range.
type gathered[T any] struct {
	question    plan.Question[T] // its extra values are what sources hold beside the entries, ascending
	missing     []Missing        // sources
	provisional time.Time
}

// gather asks look about several tenants side by side.
func (q *Quantizer[T]) gather(ctx context.Context, tenants []string, from, to time.Time, opts *RangeOptions, how reading, look func(ctx context.Context, tenant string, from, to int64, how reading) (known[T], error)) (g gathered[T], err error) {
	start, end, err := span(from, to)
	if err = cmp.Or(err, checkTenants(tenants)); err != nil {
		return g, err
	}
	found := make([]known[T], len(tenants))
	series, err := q.past.SeriesOf(ctx, tenants, func(ctx context.Context, i int) (s plan.Series, err error) {
		found[i], err = look(ctx, tenants[i], start, end, how)
		return found[i].series, err
	})
	if err != nil {
		return g, err
	}
	o := opts.orDefault()
	g.question = plan.Question[T]{Series: series, From: start, To: end, Partial: o.Partial, MaxBytes: o.MaxBytes}
	for _, k := range found {
		g.question.Extra = append(g.question.Extra, k.live...)
		g.missing = append(g.missing, k.missing...)
		g.provisional = earlier(g.provisional, k.provisional)
	}
	slices.SortStableFunc(g.question.Extra, func(a, b plan.Extra[T]) int { return cmp.Compare(a.Time, b.Time) })
	return g, nil
}

// earlier returns the earlier of two instants; the zero one counts as never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// sliced returns the question for steps: an open tick whose instant to come is
// beyond the range belongs to the range's last slice.
func (g *gathered[T]) sliced() plan.Question[T] {
	x := g.question
	x.Extra = slices.Clone(x.Extra)
	for i := range x.Extra {
		x.Extra[i].Time = max(min(x.Extra[i].Time, x.To-1), x.From)
	}
	return x
}

// merged answers with everything that was gathered.
func (q *Quantizer[T]) merged(ctx context.Context, g *gathered[T]) (a Answer[T], err error) {
	if a, err = q.answer(ctx, g.question); err != nil {
		return Answer[T]{}, err
	}
	a.Missing, a.Provisional = append(a.Missing, g.missing...), g.provisional
	return a, nil
}

// maxAgain is how often Steps looks again because blobs of a slice were deleted.
const maxAgain = 8

// steps yields the answers for the slices of a range. Gather looks at the range
// from an instant on. Where blobs of a slice are missing, steps gathers again from
// that slice on: when their entries are gone too, they were deleted meanwhile.
func (q *Quantizer[T]) steps(ctx context.Context, from, to time.Time, step time.Duration, yield func(Step[T], error) bool, gather func(from time.Time) (gathered[T], error)) {
	if _, _, err := span(from, to); err == nil && step <= 0 {
		yield(Step[T]{}, errStep(from, to))
		return
	}
	g, err := gather(from)
	if err != nil {
		yield(Step[T]{}, err)
		return
	}
	for again := 0; q.stepsOf(ctx, &g, step, yield, func(from time.Time, gone map[string]bool) bool {
		if again++; again > maxAgain {
			return false
		}
		next, err := gather(from)
		if err != nil || next.names(gone) {
			return false
		}
		g = next
		return true
	}); {
	}
}

// stepsOf yields the answers for what was gathered. It reports whether changed
// said, about a slice that lacks blobs, that there is something else to answer
// from.
func (q *Quantizer[T]) stepsOf(ctx context.Context, g *gathered[T], step time.Duration, yield func(Step[T], error) bool, changed func(from time.Time, gone map[string]bool) bool) (again bool) {
	missing, provisional := g.missing, g.provisional
	for s, err := range q.past.Steps(ctx, g.sliced(), int64(step)) {
		out := Step[T]{From: time.Unix(0, s.From), To: time.Unix(0, s.To), Answer: answerOf(s.Answer)}
		if gone := withoutBlob(&out.Answer, err); len(gone) > 0 && changed(out.From, gone) {
			return true
		}
		if out.To.After(provisional) && !provisional.IsZero() {
			out.Provisional = provisional
		}
		out.Missing = append(out.Missing, missing...)
		if !yield(out, err) {
			return false
		}
	}
	return false
}
