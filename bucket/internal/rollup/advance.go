package rollup

import (
	"context"
	"errors"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// moving is how often a builder looks whether entries may be removed.
const moving = time.Minute

// advance lets a store that waits remove whole hours of entries that are past their
// retention, once each of them is in a roll-up that outlives it. Spans that lack
// theirs are built first, however old they are.
func (b *Builder) advance(ctx context.Context, s levels.Settings) error {
	now := b.opts.Now()
	past, level, ok := s.PastKeep(now)
	past = index.RowAt("", past).Start()
	if !ok || !s.Waits || past <= s.Gone || now.Sub(b.moved) < moving {
		return nil
	}
	b.moved = now
	if b.opts.Tenants == nil {
		return errors.New("the index does not list its tenants")
	}
	for tenant, err := range b.opts.Tenants(ctx) {
		if err != nil {
			return err
		}
		first, err := b.unbuilt(ctx, s, tenant, level, past)
		if err != nil {
			return err
		}
		past = min(past, index.RowAt("", first).Start())
	}
	if past <= s.Gone {
		return nil
	}
	return b.opts.Protocol.Advance(ctx, past)
}

// unbuilt returns where the first of a tenant's spans that has entries before an
// instant, and no roll-up, begins: the instant where there is none. It has such spans
// built.
func (b *Builder) unbuilt(ctx context.Context, s levels.Settings, tenant string, level time.Duration, past int64) (int64, error) {
	from, ok, err := b.oldest(ctx, tenant, s.Gone, past)
	if err != nil || !ok {
		return past, err
	}
	from = levels.SpanAt(tenant, level, from).Start
	spans, err := b.work.missing(ctx, s, tenant, level, from, levels.SpanAt(tenant, level, past-1).End())
	if err != nil {
		return past, err
	}
	first := past
	for _, span := range spans {
		n := 1
		if level != s.Spans[0] { // the shortest level's have entries
			n, err = b.work.entries(ctx, tenant, span.Start, min(span.End(), past), func([]index.Entry) {})
		}
		if err != nil {
			return past, err
		}
		if n > 0 {
			first = min(first, span.Start)
			b.desk.add(span, b.ripe(span))
		}
	}
	return first, nil
}

// oldest returns the instant of a tenant's first entry in [from, to), where from is 0
// for the beginning of time.
func (b *Builder) oldest(ctx context.Context, tenant string, from, to int64) (first int64, ok bool, err error) {
	scanner, scans := b.opts.Index.(index.Scanner)
	if !scans {
		return 0, false, errors.New("the index is no index.Scanner")
	}
	if from == 0 {
		from = levels.SpanAt(tenant, time.Hour, -1<<63).Start
	}
	for e, err := range scanner.Scan(ctx, tenant, from, to) {
		return e.Time, err == nil, err
	}
	return 0, false, nil
}
