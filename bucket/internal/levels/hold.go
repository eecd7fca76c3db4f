package levels

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/index"
)

// extra is how much longer than needed a hold lasts, so that it serves the late
// entries that follow.
func (s Settings) extra() time.Duration { return s.Lateness / 10 }

// Late reports whether the spans that cover an entry must be held before the
// entry is put. The entry's instant is t, in Unix nanoseconds. Its put may be
// sent until deadline, by the store's clock.
func (s Settings) Late(t int64, deadline time.Time) bool {
	return deadline.UnixNano() > t+int64(s.Lateness-s.Linger-2*s.Skew)
}

// Write is what a writer asks of the protocol.
type Write struct {
	Tenant   string
	Instants []int64       // of the entries that are put or deleted, Unix nanoseconds
	Timeout  time.Duration // of the request that puts or deletes them
	Deletes  bool
}

// Write sends the put, or the deletion, of entries, and returns what send
// returned. A deletion, and a put that comes late, first holds the spans that
// cover the entries. The context of send ends after the timeout, and tells the
// index that the sender keeps the rules. Where the index has no levels, Write
// only calls send.
//
// An error of Write itself means that send was not called, or that an entry
// may be missing in a seal for as long as the caller does not repeat it: the
// caller must not tell anybody that the entry is stored.
func (p *Protocol) Write(ctx context.Context, w Write, send func(context.Context) error) error {
	ctx = index.Holding(ctx)
	s, err := p.Settings(ctx)
	if errors.Is(err, ErrOff) {
		ctx, cancel := context.WithTimeout(ctx, w.Timeout)
		defer cancel()
		return send(ctx)
	}
	if err != nil {
		return err
	}
	deadline, err := p.prepare(ctx, s, w)
	if err != nil {
		return err
	}
	left := deadline.Sub(p.now())
	if left <= 0 {
		return fmt.Errorf("levels: holding the spans of an entry took longer than %v", w.Timeout)
	}
	sending, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	if err := send(sending); err != nil {
		return err
	}
	// A request that was answered after its deadline may have taken effect
	// after its holds expired, and a builder may have read the span before that.
	if now := p.now(); now.After(deadline) {
		return p.hold(ctx, s, w, now.Add(w.Timeout))
	}
	return nil
}

// prepare returns the store's time until which the entries may be sent, and
// holds the spans that cover them where that is needed.
func (p *Protocol) prepare(ctx context.Context, s Settings, w Write) (time.Time, error) {
	now := p.now()
	if now.IsZero() {
		return now, ErrNoTime
	}
	deadline := now.Add(w.Timeout)
	if !w.Deletes {
		w.Instants = slices.DeleteFunc(slices.Clone(w.Instants), func(t int64) bool { return !s.Late(t, deadline) })
	}
	return deadline, p.hold(ctx, s, w, deadline)
}

// hold holds the spans of all levels that cover the entries, lowest first.
func (p *Protocol) hold(ctx context.Context, s Settings, w Write, deadline time.Time) error {
	until := deadline.Add(s.Linger).UnixNano()
	for _, level := range s.Spans {
		if err := p.holdSpans(ctx, s, w.spans(level), until, until+int64(s.extra())); err != nil {
			return err
		}
	}
	return nil
}

// spans returns the spans of a level that cover the entries, ascending.
func (w *Write) spans(level time.Duration) (spans []Span) {
	for _, t := range w.Instants {
		spans = append(spans, SpanAt(w.Tenant, level, t))
	}
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Compare(a.Start, b.Start) })
	return slices.Compact(spans)
}

// holdSpans makes sure that each of a level's spans has a hold which does not
// expire before until. A hold that it writes lasts longer.
func (p *Protocol) holdSpans(ctx context.Context, s Settings, spans []Span, until, longer int64) error {
	spans = slices.DeleteFunc(spans, func(s Span) bool { return p.remembers(s, until) })
	if len(spans) == 0 {
		return nil
	}
	first, last := spans[0], spans[len(spans)-1]
	there, err := p.Places(ctx, first.Tenant, first.Level, first.Start, last.Start+1)
	if err != nil {
		return err
	}
	group, holding := errgroup.WithContext(ctx)
	group.SetLimit(p.reads)
	for _, span := range spans {
		place := Place{Span: span}
		if i := slices.IndexFunc(there, func(p Place) bool { return p.Start == span.Start }); i >= 0 {
			place = there[i]
		}
		if p.reads > 1 {
			group.Go(func() error { return p.holdSpan(holding, s, place, until, longer) })
		} else if err := p.holdSpan(ctx, s, place, until, longer); err != nil {
			return err
		}
	}
	return group.Wait()
}

// holdSpan holds a span whose place was read.
func (p *Protocol) holdSpan(ctx context.Context, s Settings, place Place, until, longer int64) error {
	for {
		switch {
		case s.Final(&place, p.now()):
			return &FinalError{place.Span}
		case place.Kind == Hold && place.Until >= until:
			p.remember(place.Span, place.Until)
			return nil
		}
		_, err := p.swap(ctx, place, State{Kind: Hold, Until: longer})
		if err == nil {
			p.remember(place.Span, longer)
			if p.Held != nil {
				p.Held(place.Span, longer)
			}
		}
		if !errors.Is(err, ErrLost) {
			return err
		}
		if place, err = p.Place(ctx, place.Span); err != nil {
			return fmt.Errorf("hold the %v: %w", place.Span, err)
		}
	}
}
