package tiered

import (
	"context"

	"github.com/timeblob/timeblob/internal/flight"
	"github.com/timeblob/timeblob/internal/tracing"
)

// spans are Get, of what memory does not have; read and write, of one tier.
const spans = tracing.Scope("tiered")

// read fetches keys, or waits for others who do.
func (s *Store[T]) read(ctx context.Context, keys []string) []flight.Result[T] {
	ctx, reading := spans.Child(ctx, "Get")
	results, err := s.flights.Do(ctx, keys, s.fetch)
	if reading.Recording() {
		found := 0
		for _, r := range results {
			if r.Found {
				found++
			}
			if err == nil {
				err = r.Err
			}
		}
		reading.Int(tracing.Keys, len(keys))
		reading.Int(tracing.Found, found)
	}
	reading.End(err)
	return results
}

// traceGet is the tier's Get in a span.
func (l *level) traceGet(ctx context.Context, keys []string) (map[string][]byte, error) {
	ctx, getting := spans.Child(ctx, "read")
	blobs, err := l.tier.Get(ctx, keys)
	if getting.Recording() {
		getting.Text(tracing.Tier, l.name)
		getting.Int(tracing.Keys, len(keys))
		getting.Int(tracing.Found, hits(blobs, keys))
		getting.Int(tracing.Bytes, size(blobs))
	}
	getting.End(err)
	return blobs, err
}

// size is the length of all blobs.
func size(blobs map[string][]byte) (n int) {
	for _, blob := range blobs {
		n += len(blob)
	}
	return n
}

// tracePut is the tier's Put in a span.
func (l *level) tracePut(ctx context.Context, key string, blob []byte) error {
	ctx, putting := spans.Child(ctx, "write")
	putting.Text(tracing.Tier, l.name)
	putting.Int(tracing.Bytes, len(blob))
	err := l.tier.Put(ctx, key, blob)
	putting.End(err)
	return err
}
