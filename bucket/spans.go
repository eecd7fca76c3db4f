package bucket

import (
	"context"
	"errors"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/levels"
)

// LevelSpans count the spans of one level of a tenant.
type LevelSpans struct {
	Level   time.Duration
	Sealed  int   // spans that have a roll-up
	Final   int   // of them those whose entries, or lower roll-ups, retention removes
	Void    int   // spans whose roll-up is not kept
	Busy    int   // spans that are held for a late value, or claimed by a builder
	Entries int   // merged in the roll-ups
	Bytes   int64 // of the roll-ups' blobs
}

// LevelSpans counts a tenant's spans that start in [from, to), of each level,
// the shortest first. It asks the index once a level and reads no blob. The
// result is empty where levels are off.
func (q *Quantizer[T]) LevelSpans(ctx context.Context, tenant string, from, to time.Time) ([]LevelSpans, error) {
	start, end, err := span(from, to)
	if err != nil || q.protocol == nil {
		return nil, err
	}
	s, err := q.protocol.Settings(ctx)
	if errors.Is(err, levels.ErrOff) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := make([]LevelSpans, len(s.Spans))
	for i, level := range s.Spans {
		places, err := q.protocol.Places(ctx, tenant, level, start, end)
		if err != nil {
			return nil, err
		}
		all[i].Level = level
		for _, p := range places {
			all[i].count(p)
			if s.Final(&p, q.protocol.Time()) {
				all[i].Final++
			}
		}
	}
	return all, nil
}

// count counts a place in.
func (l *LevelSpans) count(p levels.Place) {
	switch p.Kind {
	case levels.Sealed:
		l.Sealed++
		l.Entries += p.Seal.Entries
		l.Bytes += p.Seal.Size
	case levels.Void:
		l.Void++
	case levels.Hold, levels.Claimed:
		l.Busy++
	}
}
