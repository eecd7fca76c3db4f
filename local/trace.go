package local

import (
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/timeblob/timeblob/internal/tracing"
)

// spans are Query, Get and put, which also is what a Commit comes to.
const spans = tracing.Scope("local")

const spanEntries = "timeblob.entries"

// put adds the records, all or none, in a span. It returns index.ErrExists when a
// key is taken.
func (db *DB) put(ctx context.Context, apply applier, records ...record) error {
	ctx, putting := spans.Child(ctx, "put")
	err := db.changeWith(ctx, apply, keys(records), func(e *engine) (*pebble.Batch, error) { return e.batch(records) })
	bytes := 0
	for _, r := range records {
		bytes += len(r.value)
	}
	putting.Int(tracing.Bytes, bytes)
	putting.End(err)
	return err
}
