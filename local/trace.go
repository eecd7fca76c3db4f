package local

import (
	"context"

	"github.com/timeblob/timeblob/internal/tracing"
)

// spans are Query, Get and put, which also is what a Commit comes to.
const spans = tracing.Scope("local")

const spanEntries = "timeblob.entries"

// put is write in a span.
func (db *DB) put(ctx context.Context, records ...record) error {
	ctx, putting := spans.Child(ctx, "put")
	err := db.write(ctx, records...)
	bytes := 0
	for _, r := range records {
		bytes += len(r.value)
	}
	putting.Int(tracing.Bytes, bytes)
	putting.End(err)
	return err
}
