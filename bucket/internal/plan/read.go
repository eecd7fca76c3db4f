package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// Read returns what a tenant's part of an answer for [from, to) is merged from. It
// reads seals before entries, and no row of the index that roll-ups cover.
func (p *Past[T]) Read(ctx context.Context, tenant string, from, to int64, view View) (Series, error) {
	return p.readIn(ctx, func(ctx context.Context) (Series, error) { return p.read(ctx, tenant, from, to, view) })
}

// read returns what was read before, if the index says that nothing has changed, and
// otherwise reads.
func (p *Past[T]) read(ctx context.Context, tenant string, from, to int64, view View) (s Series, err error) {
	key := readKey{tenant, from, to, view.Step}
	version, ok := p.reads.version(key)
	if ok {
		if s, ok := p.reads.get(key, version, view.Skip); ok {
			p.asked(ctx, tenant)
			return s, nil
		}
	}
	if s, err = p.readIndex(ctx, tenant, from, to, view); ok && err == nil {
		s = p.reads.add(key, version, s)
	}
	return s, err
}

// asked tells of a question about a tenant, when the index has levels.
func (p *Past[T]) asked(ctx context.Context, tenant string) {
	if p.opts.Asked == nil {
		return
	}
	if _, err := p.settings(ctx); err == nil {
		p.opts.Asked(tenant)
	}
}

// readIndex reads the seals of a range, and the entries between them.
func (p *Past[T]) readIndex(ctx context.Context, tenant string, from, to int64, view View) (s Series, err error) {
	settings, early, err := p.begin(ctx, tenant, from, to, view)
	if errors.Is(err, levels.ErrOff) {
		s.Tenant = tenant
		s.Entries, err = p.entriesOf(ctx, tenant, from, to, early)
		return s, err
	}
	if err != nil {
		return s, err
	}
	p.asked(ctx, tenant)
	read := early.reader(p.opts.Levels.Reader(tenant))
	parts, err := p.opts.Levels.CoverBy(ctx, view.settings(settings), from, to, p.skips(view, from), read)
	if err == nil {
		err = p.exact(ctx, settings, tenant, parts, read)
	}
	if err != nil {
		return s, err
	}
	p.remember(tenant, parts)
	return p.gather(ctx, tenant, parts, early)
}

// exact returns a *CoarserError for parts that cut a span whose roll-up
// alone is left.
func (p *Past[T]) exact(ctx context.Context, s levels.Settings, tenant string, parts []levels.Part, read levels.Reader) error {
	from, to, ok, err := p.opts.Levels.Nearest(ctx, s, tenant, parts, read)
	if err != nil || ok {
		return err
	}
	return &CoarserError{Tenant: tenant, From: time.Unix(0, parts[0].From), To: time.Unix(0, parts[len(parts)-1].To),
		NearestFrom: time.Unix(0, from), NearestTo: time.Unix(0, to)}
}

// Whole returns a *CoarserError when retention has removed single values of the
// range.
func (p *Past[T]) Whole(ctx context.Context, tenant string, from, to int64) error {
	s, err := p.settings(ctx)
	if errors.Is(err, levels.ErrOff) {
		return nil
	}
	if err != nil {
		return err
	}
	first, last, ok, err := p.opts.Levels.Removed(ctx, s, tenant, from, to, func(ctx context.Context, from, to int64) (int, error) {
		entries, err := p.entries(ctx, tenant, from, to)
		return len(entries), err
	})
	if err != nil || ok {
		return err
	}
	return &CoarserError{Tenant: tenant, From: time.Unix(0, from), To: time.Unix(0, to), NearestFrom: time.Unix(0, first), NearestTo: time.Unix(0, last)}
}

// gather reads the entries of the gaps between sealed spans, unless they were read
// early.
func (p *Past[T]) gather(ctx context.Context, tenant string, parts []levels.Part, early *ahead) (Series, error) {
	s := Series{Tenant: tenant}
	found := make([][]index.Entry, len(parts))
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(p.opts.Rows)
	for i, part := range parts {
		if part.Place == nil {
			group.Go(func() (err error) {
				found[i], err = p.entriesOf(reading, tenant, part.From, part.To, early)
				return err
			})
		} else if part.Place.Entries > 0 {
			s.Rolled = append(s.Rolled, *part.Place)
		}
	}
	if err := group.Wait(); err != nil {
		return s, err
	}
	if s.Entries = slices.Concat(found...); len(s.Entries) > p.opts.MaxEntries {
		return s, &TooManyError{Tenant: tenant, Limit: p.opts.MaxEntries}
	}
	return s, nil
}

// goDown replaces the roll-ups that turned out not to exist, or not to decode, by
// what lies below them: roll-ups of shorter spans, and entries. It reports
// whether there were any. A seal whose roll-up is gone is broken, so that nobody
// uses it again; a final one stays, since its entries may be gone too.
func (p *Past[T]) goDown(ctx context.Context, q *Question[T], all []lost) (went bool) {
	for _, l := range all {
		if l.rolled == nil || !p.isBroken(l.rolled, l.err) {
			continue
		}
		if s, err := p.below(ctx, l.rolled); err == nil {
			q.replace(l.rolled, s)
			went = true
		}
	}
	return went
}

// corrupt is an error that says that a blob's bytes are there and cannot be
// decoded, also next time.
type corrupt interface{ Corrupt() bool }

// isBroken reports whether a roll-up cannot be read, now or later.
func (p *Past[T]) isBroken(seal *levels.Place, err error) bool {
	if errors.Is(err, ErrNoBlob) {
		return true
	}
	var c corrupt
	return errors.As(err, &c) && c.Corrupt()
}

// below breaks a seal and returns what lies below it. Within a seal's span no
// source held a value when the question began, so what is read now fits what was
// read then. Where retention may have removed entries, what lies below must be
// roll-ups of all of them.
func (p *Past[T]) below(ctx context.Context, seal *levels.Place) (Series, error) {
	p.metrics.unread.Inc()
	s, err := p.settings(ctx)
	if err != nil {
		return Series{}, err
	}
	parts, err := p.opts.Levels.Cover(ctx, s.Below(seal.Level), seal.Tenant, seal.Start, seal.End(), nil)
	if err != nil {
		return Series{}, err
	}
	final := s.Final(seal, p.opts.Levels.Time())
	if final && levels.Entries(parts) < seal.Entries {
		return Series{}, &levels.FinalError{Span: seal.Span}
	}
	if !final && seal.Codec <= p.opts.Codec {
		if err := p.opts.Levels.Break(ctx, *seal); err != nil && !errors.Is(err, levels.ErrLost) {
			return Series{}, fmt.Errorf("the %v: its roll-up is gone: %w", seal.Span, err)
		}
	}
	return p.gather(ctx, seal.Tenant, parts, nil)
}

// replace puts what lies below a seal into its place, in every series of its
// tenant.
func (q *Question[T]) replace(seal *levels.Place, below Series) {
	q.Series = slices.Clone(q.Series)
	for i := range q.Series {
		s := &q.Series[i]
		s.print = nil
		at := searchPlace(s.Rolled, seal.Start)
		if s.Tenant != seal.Tenant || at >= len(s.Rolled) || s.Rolled[at].Key != seal.Key {
			continue
		}
		s.Rolled = slices.Concat(s.Rolled[:at], below.Rolled, s.Rolled[at+1:])
		from, _ := index.Search(s.Entries, seal.Start)
		s.Entries = slices.Concat(s.Entries[:from], below.Entries, s.Entries[from:])
	}
}

// HasAny reports whether the tenant has values in [from, to) that are in the
// index. A roll-up is an answer. Where nothing is found, and the range cuts a
// span whose roll-up alone is left, it returns a *CoarserError: the values that
// retention removed may have been in the range.
func (p *Past[T]) HasAny(ctx context.Context, tenant string, from, to int64, view View) (bool, error) {
	settings, early, err := p.begin(ctx, tenant, from, to, view)
	if errors.Is(err, levels.ErrOff) {
		return p.Has(ctx, tenant, from, to)
	}
	if err != nil {
		return false, err
	}
	read := early.reader(p.opts.Levels.Reader(tenant))
	parts, err := p.opts.Levels.CoverBy(ctx, settings, from, to, view.Skip, read)
	if err != nil {
		return false, err
	}
	if levels.Entries(parts) > 0 {
		return true, nil
	}
	p.remember(tenant, parts)
	for _, part := range parts {
		if part.Place != nil {
			continue
		}
		if entries, ok := early.between(part.From, part.To); ok {
			if len(entries) > 0 {
				return true, nil
			}
			continue
		}
		if has, err := p.Has(ctx, tenant, part.From, part.To); has || err != nil {
			return has, err
		}
	}
	return false, p.exact(ctx, settings, tenant, parts, read)
}
