package rollup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// A roll-up of more than small bytes must be smaller than its parts by a tenth.
// A smaller one saves more by being one blob than its bytes cost.
const small = 16 << 10

// errFew says that a span has so few pieces that a roll-up saves nothing.
var errFew = errors.New("the span has fewer than two pieces")

// work builds single spans.
type work struct{ Options }

// build has a span merged and sealed, unless it has too few pieces.
func (w *work) build(ctx context.Context, span levels.Span) (levels.Place, error) {
	s, err := w.Protocol.Settings(ctx)
	if err != nil {
		return levels.Place{}, err
	}
	if worth, err := w.worth(ctx, s, span); err != nil || !worth {
		return levels.Place{}, errors.Join(err, few(worth))
	}
	return w.Protocol.Build(ctx, span, lasts(s), w)
}

func few(worth bool) error {
	if worth {
		return nil
	}
	return errFew
}

// worth reports whether a span has pieces enough for a roll-up: two, or one
// that retention removes earlier than the roll-up.
func (w *work) worth(ctx context.Context, s levels.Settings, span levels.Span) (bool, error) {
	enough := 2
	if s.Outlives(span.Level) {
		enough = 1
	}
	parts, err := w.Protocol.Cover(ctx, s.Below(span.Level), span.Tenant, span.Start, span.End(), nil)
	if err != nil {
		return false, err
	}
	pieces := 0
	for _, part := range parts {
		if part.Place != nil {
			pieces += min(part.Place.Entries, 1)
			continue
		}
		n, err := w.entries(ctx, span.Tenant, part.From, part.To, func([]index.Entry) {})
		if err != nil {
			return false, err
		}
		pieces += n
	}
	return pieces >= enough, nil
}

// entries shows the entries of a tenant's range, row by row, and returns how
// many there are.
func (w *work) entries(ctx context.Context, tenant string, from, to int64, show func([]index.Entry)) (n int, err error) {
	for row := range index.Rows(tenant, from, to) {
		found, err := w.Index.Query(ctx, row, max(from, row.Start()), min(to, row.End()))
		if err != nil {
			return n, fmt.Errorf("index of tenant %q: %w", tenant, err)
		}
		n += len(found)
		show(found)
	}
	return n, nil
}

// missing returns the spans of a level in [from, to) that have entries and are
// neither sealed nor void.
func (w *work) missing(ctx context.Context, s levels.Settings, tenant string, level time.Duration, from, to int64) (spans []levels.Span, err error) {
	places, err := w.Protocol.Places(ctx, tenant, level, from, to)
	if err != nil {
		return nil, err
	}
	done := make(map[int64]bool, len(places))
	for _, p := range places {
		done[p.Start] = p.Kind == levels.Sealed || p.Kind == levels.Void
	}
	if level == s.Spans[0] {
		return w.filled(ctx, s, tenant, level, from, to, done)
	}
	for start := from; start < to; start += int64(level) {
		if !done[start] {
			spans = append(spans, levels.Span{Tenant: tenant, Level: level, Start: start})
		}
	}
	return spans, nil
}

// filled returns the spans of the shortest level that have entries enough.
func (w *work) filled(ctx context.Context, s levels.Settings, tenant string, level time.Duration, from, to int64, done map[int64]bool) (spans []levels.Span, err error) {
	enough := 2
	if s.Outlives(level) {
		enough = 1
	}
	counts := make(map[int64]int)
	_, err = w.entries(ctx, tenant, from, to, func(entries []index.Entry) {
		for _, e := range entries {
			span := levels.SpanAt(tenant, level, e.Time)
			if counts[span.Start]++; counts[span.Start] == enough && !done[span.Start] {
				spans = append(spans, span)
			}
		}
	})
	return spans, err
}

// RollUp implements levels.Work.
func (w *work) RollUp(ctx context.Context, claim levels.Place, parts []levels.Part) (*levels.Seal, string, error) {
	s, err := w.Protocol.Settings(ctx)
	if err != nil {
		return nil, "", err
	}
	if err := w.check(ctx, s, parts, claim.Tenant); err != nil {
		return nil, "", err
	}
	m, err := w.Merger.Merge(ctx, claim.Tenant, parts)
	switch {
	case err != nil && w.Merger.Lasting(err):
		return nil, err.Error(), nil
	case err != nil:
		return nil, "", err
	}
	size := int64(len(m.Blob))
	seal := &levels.Seal{Entries: m.Count, Print: m.Print, Codec: w.Codec}
	switch {
	case m.Count == 0:
		return seal, "", nil
	case size > w.MaxBlob:
		return nil, fmt.Sprintf("it has %d bytes, and a blob may have %d", size, w.MaxBlob), nil
	case size > small && size > m.Bytes/10*9 && !s.Outlives(claim.Level):
		return nil, fmt.Sprintf("it has %d bytes, hardly fewer than its parts, which have %d", size, m.Bytes), nil
	}
	seal.Key, seal.Size, seal.Sum = levels.Key(claim.Span, claim.ID()), size, blob.SumOf(m.Blob)
	err = w.Merger.Put(ctx, seal.Key, m.Blob)
	if large, ok := errors.AsType[interface {
		error
		TooLarge() bool
	}](err); ok && large.TooLarge() {
		return nil, err.Error(), nil
	}
	return seal, "", err
}

// check counts the entries of the parts that are sealed once more. A seal that
// they do not match is broken, and its part becomes a gap: somebody who does not
// keep the lateness has written into it.
func (w *work) check(ctx context.Context, s levels.Settings, parts []levels.Part, tenant string) error {
	horizon := s.Horizon(w.Protocol.Time())
	for i := range parts {
		place := parts[i].Place
		if place == nil || place.Start < horizon {
			continue
		}
		ok, err := w.matches(ctx, tenant, place)
		if err != nil || ok {
			if err != nil {
				return err
			}
			continue
		}
		w.Metrics.broken.WithLabelValues(Name(place.Level)).Inc()
		w.Logger.Error("a roll-up does not match its entries and is built again: a writer that does not know levels, or does not keep the lateness, stored a value late",
			"span", place.Span.String())
		if err := w.Protocol.Break(ctx, *place); err != nil && !errors.Is(err, levels.ErrLost) {
			return err
		}
		parts[i].Place = nil
	}
	return nil
}

// matches reports whether a seal names the entries that its span has.
func (w *work) matches(ctx context.Context, tenant string, seal *levels.Place) (bool, error) {
	var all []index.Entry
	_, err := w.entries(ctx, tenant, seal.Start, seal.End(), func(entries []index.Entry) { all = append(all, entries...) })
	return len(all) == seal.Entries && w.Merger.PrintOf(all) == seal.Print, err
}

// clean removes the roll-ups that a span's place named before, and returns how
// many keys it removed.
func (w *work) clean(ctx context.Context, span levels.Span) (int, error) {
	place, err := w.Protocol.Place(ctx, span)
	if err != nil || len(place.Old) == 0 {
		return 0, err
	}
	return len(place.Old), w.Merger.Remove(ctx, place.Old)
}
