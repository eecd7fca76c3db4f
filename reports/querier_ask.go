package reports

import (
	"context"
	"errors"
	"time"

	"github.com/timeblob/timeblob/bucket"
)

// Ask answers a question.
func (q *Querier) Ask(ctx context.Context, tenant string, about Question) (Answer, error) {
	if about.Ranged {
		return q.answerRange(ctx, tenant, about.From, about.To, about.options())
	}
	return q.answerWindow(ctx, tenant, about.To, about.options())
}

// Report returns the merge of the window that ends at an instant. For an instant
// that is not over yet, that is the live window: what all collectors hold, with
// their shortcuts. For an earlier instant it is Range(at − window, at). The error
// is a *NoCollectorError when no collector answers. A collector whose clock is a
// window or more from the querier's is missing.
//
// While the store fails, or does not answer within QuerierOptions.StoreTimeout,
// the live window is the merge of what the collectors have in memory, and the
// answer's Missing names "store".
func (q *Querier) Report(ctx context.Context, tenant string, at time.Time) (Answer, error) {
	return q.answerWindow(ctx, tenant, at, nil)
}

// answerWindow is Report, of a partial answer if it is allowed.
func (q *Querier) answerWindow(ctx context.Context, tenant string, at time.Time, opts *bucket.RangeOptions) (a Answer, err error) {
	ctx, asked := startQuestion(ctx, "Report", tenant, at.Add(-q.window), at)
	defer func() { asked.End(err) }()
	now := q.now()
	if at.Before(now) {
		return q.answerRange(ctx, tenant, at.Add(-q.window), at, opts)
	}
	p := q.newQuery(tenant, now.Add(-q.window), q.AfterNow())
	p.opts = opts
	set := q.clock.missing()
	r, err := p.askNow(ctx, q.storeTimeout)
	switch {
	case p.fromScope():
		return p.live(ctx, set)
	case err != nil && storeFailed(ctx, err):
		q.log.Warn("answer about now without the store", "tenant", tenant, "err", err)
		return p.live(ctx, append(set, MissingStore))
	case err != nil:
		return Answer{}, err
	}
	return p.answer(r, p.shortcuts(), append(set, p.missing()...))
}

// storeFailed reports whether an error is due to the store: not to the caller,
// and not to missing collectors.
func storeFailed(ctx context.Context, err error) bool {
	_, none := errors.AsType[*NoCollectorError](err)
	return ctx.Err() == nil && !none && ClientFault(err) == nil
}

// Range returns the merge of every report with from ≤ instant < to, stored or
// held by a collector. When no collector answers, a range that reaches into the
// last window fails with a *NoCollectorError, and an earlier one is answered
// from the store, with the collectors named in Missing.
func (q *Querier) Range(ctx context.Context, tenant string, from, to time.Time) (Answer, error) {
	return q.answerRange(ctx, tenant, from, to, nil)
}

// answerRange is Range, of a partial answer if it is allowed.
func (q *Querier) answerRange(ctx context.Context, tenant string, from, to time.Time, opts *bucket.RangeOptions) (a Answer, err error) {
	ctx, asked := startQuestion(ctx, "Range", tenant, from, to)
	defer func() { asked.End(err) }()
	p := q.newQuery(tenant, from, to)
	p.opts = opts
	r, err := p.ask(ctx)
	if err != nil {
		return Answer{}, err
	}
	return p.answer(r, nil, p.missing())
}

// HasReports reports whether Report would find any, not counting shortcuts.
func (q *Querier) HasReports(ctx context.Context, tenant string, at time.Time) (bool, error) {
	a, err := q.Report(ctx, tenant, at)
	return a.Found, err
}
