package levels

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/index"
)

// Part is a piece of a range: a sealed span, or a gap that entries answer.
type Part struct {
	From, To int64  // Unix nanoseconds, half open
	Place    *Place // the seal; nil for a gap
}

// Reader returns the written places of a level of one tenant whose spans start in
// [from, to), in order. The slice is the caller's.
type Reader func(ctx context.Context, level time.Duration, from, to int64) ([]Place, error)

// Reader returns the reader of the index.
func (p *Protocol) Reader(tenant string) Reader {
	return func(ctx context.Context, level time.Duration, from, to int64) ([]Place, error) {
		return p.Places(ctx, tenant, level, from, to)
	}
}

// Cover cuts [from, to) into sealed spans, the longest that fit, and gaps, in
// order. Skip says which spans must not be answered by their seal; nil means
// none. It reads the places of each level once, of the longest level first,
// and of a shorter level only where no longer span is sealed.
func (p *Protocol) Cover(ctx context.Context, s Settings, tenant string, from, to int64, skip func(Span) bool) ([]Part, error) {
	return p.CoverBy(ctx, s, from, to, skip, p.Reader(tenant))
}

// CoverBy is Cover with another reader, which may have read the places already.
func (p *Protocol) CoverBy(ctx context.Context, s Settings, from, to int64, skip func(Span) bool, read Reader) ([]Part, error) {
	gaps := []Part{{From: from, To: to}}
	var parts []Part
	for _, level := range slices.Backward(s.Spans) {
		found, err := p.coverGaps(ctx, s, level, gaps, skip, read)
		if err != nil {
			return nil, err
		}
		gaps = gaps[:0:0]
		for _, part := range found {
			if part.Place == nil {
				gaps = append(gaps, part)
				continue
			}
			parts = append(parts, part)
		}
	}
	parts = append(parts, gaps...)
	slices.SortFunc(parts, func(a, b Part) int {
		if a.From < b.From {
			return -1
		}
		return 1
	})
	return parts, nil
}

// coverGaps cuts gaps at the sealed spans of one level. It reads several
// gaps at a time.
func (p *Protocol) coverGaps(ctx context.Context, s Settings, level time.Duration, gaps []Part, skip func(Span) bool, places Reader) ([]Part, error) {
	cut := make([][]Part, len(gaps))
	read := func(ctx context.Context, i int) error {
		gap := gaps[i]
		first, end := Whole(gap.From, gap.To, int64(level))
		if first >= end {
			cut[i] = []Part{gap}
			return nil
		}
		found, err := places(ctx, level, first, end)
		cut[i] = cutGap(gap, s.Kept(found, p.now()), skip)
		return err
	}
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(p.reads)
	for i := range gaps {
		if p.reads == 1 {
			if err := read(ctx, i); err != nil {
				return nil, err
			}
			continue
		}
		group.Go(func() error { return read(reading, i) })
	}
	err := group.Wait()
	return slices.Concat(cut...), err
}

// Kept leaves out the places that retention has removed or may remove.
func (s Settings) Kept(places []Place, now time.Time) []Place {
	return slices.DeleteFunc(places, func(p Place) bool {
		expires := s.expires(p.Span)
		return expires != 0 && expires <= now.Unix()
	})
}

// cutGap returns the sealed spans of a gap and what lies between them.
func cutGap(gap Part, places []Place, skip func(Span) bool) (parts []Part) {
	at := gap.From
	for i := range places {
		place := &places[i]
		if place.Kind != Sealed || skip != nil && skip(place.Span) {
			continue
		}
		if place.Start > at {
			parts = append(parts, Part{From: at, To: place.Start})
		}
		parts = append(parts, Part{From: place.Start, To: place.End(), Place: place})
		at = place.End()
	}
	if at < gap.To {
		parts = append(parts, Part{From: at, To: gap.To})
	}
	return parts
}

// Whole returns the starts [first, end) of the spans of a length that lie
// entirely in [from, to), in nanoseconds. It keeps away from the ends of int64.
func Whole(from, to, length int64) (first, end int64) {
	const far = 1 << 62 // the year 2116, and 1823 before the epoch
	from, to = max(from, -far), min(to, far)
	first = index.Floor(from, length) * length
	if first < from {
		first += length
	}
	return first, index.Floor(to, length) * length
}
