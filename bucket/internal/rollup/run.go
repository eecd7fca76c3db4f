package rollup

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/internal/gate"
	"github.com/timeblob/timeblob/internal/pause"
)

// Run builds until ctx ends. Its error concerns settings that the index does not
// accept.
func (b *Builder) Run(ctx context.Context) error {
	if err := b.publish(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	for ctx.Err() == nil {
		b.Pass(ctx)
		_ = pause.For(ctx, every)
	}
	return nil
}

// publish writes the settings, again and again while the index fails.
func (b *Builder) publish(ctx context.Context) error {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		err := b.opts.Protocol.Publish(ctx, b.opts.Settings, b.opts.Owned)
		if _, other := errors.AsType[*levels.OtherError](err); err == nil || other || ctx.Err() != nil {
			return err
		}
		b.opts.Logger.Warn("the settings of levels cannot be written, nothing is built until then", "err", err)
		if pause.For(ctx, wait) != nil {
			return nil
		}
	}
}

// Pass builds what is due now.
func (b *Builder) Pass(ctx context.Context) {
	s, err := b.opts.Protocol.Settings(ctx)
	if err != nil {
		b.complain(ctx, "the settings of levels cannot be read", err)
		return
	}
	now := b.opts.Now() // of the whole pass, so that no look is ahead of mind
	b.mind(s, now)
	if _, _, outlives := s.PastKeep(now); outlives {
		b.all.Store(true) // spans that are not rolled up in time are lost
	}
	for _, tenant := range b.tenants(ctx) {
		if ctx.Err() != nil {
			return
		}
		if err := b.look(ctx, s, tenant, now); err != nil {
			b.complain(ctx, "a tenant's spans cannot be read", err, "tenant", tenant)
		}
	}
	b.buildAll(ctx)
	if err := b.advance(ctx, s); err != nil {
		b.complain(ctx, "reports past their retention stay, since it is not known whether all are rolled up", err)
	}
	b.sweep(ctx)
	b.desk.show(b.opts.Metrics, s, b.opts.Now())
}

func (b *Builder) complain(ctx context.Context, what string, err error, args ...any) {
	if ctx.Err() == nil {
		b.opts.Logger.Warn(what, append(args, "err", err)...)
	}
}

// How often the tenants of an index are listed. Listing the tenants of a table reads
// the whole table, so a builder of a shared index learns new ones from values and questions.
const (
	relistOwned  = time.Hour
	relistShared = interest // a tenant that was listed is built for until then
	relistFailed = time.Hour
)

// tenants returns the tenants that are built for.
func (b *Builder) tenants(ctx context.Context) []string {
	now := b.opts.Now()
	if b.all.Load() && b.opts.Tenants != nil && !now.Before(b.relist) {
		b.list(ctx, now)
	}
	return slices.Sorted(slices.Values(b.desk.tenants(now.Add(-interest))))
}

// list learns the tenants of the index.
func (b *Builder) list(ctx context.Context, now time.Time) {
	b.relist = now.Add(relistShared)
	if b.opts.Owned {
		b.relist = now.Add(relistOwned)
	}
	for tenant, err := range b.opts.Tenants(ctx) {
		if err != nil {
			b.complain(ctx, "the tenants of the index cannot be listed", err)
			b.relist = now.Add(relistFailed)
			return
		}
		b.desk.ask(tenant, now)
	}
}

// look finds the spans of a tenant that have become due by now.
func (b *Builder) look(ctx context.Context, s levels.Settings, tenant string, now time.Time) error {
	due := now.UnixNano() - int64(s.Lateness)
	for i, level := range s.Spans {
		to := levels.SpanAt(tenant, level, due).Start
		from, ok := b.desk.mark(tenant, level)
		if !ok {
			from = b.first(s, tenant, i, to, now)
		}
		if ahead := from - to; ahead > 0 { // the clock was set back a little: spans in that time were looked at before they had values
			b.desk.setMark(tenant, level, to-ahead)
		}
		if from >= to {
			continue
		}
		spans, err := b.work.missing(ctx, s, tenant, level, from, to)
		if err != nil {
			return err
		}
		for _, span := range spans {
			b.desk.add(span, b.opts.Now())
		}
		b.desk.setMark(tenant, level, to)
	}
	return nil
}

// first returns where the first look at a tenant's level begins: two spans of
// the next longer level before to, or with the first entries that retention has
// left where the level outlives them.
func (b *Builder) first(s levels.Settings, tenant string, i int, to int64, now time.Time) int64 {
	level := s.Spans[i]
	if s.Outlives(level) {
		return levels.SpanAt(tenant, level, max(s.Horizon(now), now.Add(s.Lateness-s.Grace-s.Keep[0]).UnixNano())).End()
	}
	return to - 2*int64(s.Spans[min(i+1, len(s.Spans)-1)])
}

// buildAll builds what is due, oldest first, but nothing of a tenant whose build hangs.
func (b *Builder) buildAll(ctx context.Context) {
	spans := b.desk.due(b.opts.Now())
	slices.SortFunc(spans, func(x, y levels.Span) int {
		return cmp.Or(cmp.Compare(x.End(), y.End()), cmp.Compare(x.Level, y.Level), cmp.Compare(x.Tenant, y.Tenant))
	})
	var calls []*gate.Call
	for _, span := range spans {
		if b.hangs(span.Tenant) {
			continue
		}
		call, err := b.crew.Go(ctx, func() { b.build(ctx, span) })
		if err != nil {
			break
		}
		calls = append(calls, call)
		b.builds[call] = span.Tenant
	}
	for _, call := range b.crew.Wait(ctx, calls) {
		b.complain(ctx, "a build of a roll-up does not return, and no others of its tenant are built until it does",
			errHangs, "tenant", b.builds[call])
	}
}

// hangs reports whether a build of a tenant hangs.
func (b *Builder) hangs(tenant string) (hangs bool) {
	for call, of := range b.builds {
		switch {
		case call.HasReturned():
			delete(b.builds, call)
		case of == tenant && b.crew.Hangs(call):
			hangs = true
		}
	}
	return hangs
}

// build builds one span, and decides when it is due again.
func (b *Builder) build(ctx context.Context, span levels.Span) {
	begun := b.opts.Now()
	place, err := b.work.build(ctx, span)
	m, level := b.opts.Metrics, Name(span.Level)
	now := b.opts.Now()
	took := max(0, now.Sub(begun)) // the clock may have been set back
	switch {
	case ctx.Err() != nil:
	case err == nil && place.Kind == levels.Void:
		m.void.WithLabelValues(level).Inc()
		b.opts.Logger.Info("a roll-up is not kept", "span", span.String(), "why", place.Why)
		b.desk.done(span, outcome{void: true, took: took})
	case err == nil:
		m.built.WithLabelValues(level).Inc()
		m.seconds.WithLabelValues(level).Add(took.Seconds())
		b.desk.done(span, outcome{sealed: true, took: took, old: place.Old, at: now})
	case errors.Is(err, levels.ErrGone), errors.Is(err, errFew):
		b.desk.done(span, outcome{})
	case errors.Is(err, levels.ErrLost), errors.Is(err, levels.ErrTooSoon), errors.Is(err, levels.ErrNoTime):
		b.later(ctx, span)
	default:
		m.failed.WithLabelValues(level).Inc()
		b.complain(ctx, "a roll-up cannot be built and is tried again later", err, "span", span.String())
		b.desk.failed(span, now)
	}
}

// later looks at the place of a span that could not be claimed, and decides
// when it is due again, if it is.
func (b *Builder) later(ctx context.Context, span levels.Span) {
	place, err := b.opts.Protocol.Place(ctx, span)
	now := b.opts.Now()
	switch {
	case err != nil:
		b.desk.failed(span, now)
	case place.Kind == levels.Hold, place.Kind == levels.Claimed:
		b.desk.put(span, time.Unix(0, place.Until).Add(2*b.opts.Settings.Skew+time.Second))
	case place.Kind == levels.Empty, place.Kind == levels.Open:
		b.desk.put(span, b.ripe(span).Add(firstRetry))
	default:
		b.desk.done(span, outcome{})
	}
}

// sweep removes roll-ups that no seal names and no question reads any more.
func (b *Builder) sweep(ctx context.Context) {
	grace := max(maxQuestion, b.opts.Settings.Linger+2*b.opts.Settings.Skew)
	for _, span := range b.desk.swept(b.opts.Now().Add(-grace)) {
		if _, err := b.work.clean(ctx, span); err != nil {
			b.complain(ctx, "roll-ups that were replaced cannot be removed", err, "span", span.String())
		}
	}
}

// mind notices that the clock was set. After a long jump forward the builder looks at
// its tenants as after a start. After the clock was set back, it looks again at the
// spans of the time when the clock was ahead.
func (b *Builder) mind(s levels.Settings, now time.Time) {
	by, wrong := b.clock.compare(now, s.Lateness/2)
	switch {
	case by > longestAgain:
		b.desk.forget()
	case by < 0:
		b.opts.Logger.Warn("the clock was set back, spans are looked at again", "by", -by, "wrong for", wrong)
		b.relist, b.moved = time.Time{}, time.Time{}
		b.desk.setBack(-by, now, func(m markOf) int64 { return b.again(s, m, now, wrong) })
	}
}

// again returns where a look begins after the clock was wrong for a time: not later
// than a first look would.
func (b *Builder) again(s levels.Settings, m markOf, now time.Time, wrong time.Duration) int64 {
	due := now.Add(-s.Lateness)
	to := levels.SpanAt(m.tenant, m.level, due.UnixNano()).Start
	i := slices.Index(s.Spans, m.level)
	if i < 0 {
		return to
	}
	first := b.first(s, m.tenant, i, to, now)
	if s.Outlives(m.level) {
		return first
	}
	since := due.Add(-min(wrong, longestAgain))
	return min(first, levels.SpanAt(m.tenant, m.level, since.UnixNano()).Start)
}
