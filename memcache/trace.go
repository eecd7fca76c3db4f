package memcache

import (
	"context"

	"github.com/timeblob/timeblob/internal/tracing"
)

// spans are Get and Put, each over all of its servers.
const spans = tracing.Scope("memcache")

// client starts the span of an operation.
func client(ctx context.Context, operation string) (context.Context, tracing.Span) {
	ctx, asking := spans.Client(ctx, operation)
	asking.Text("db.system.name", "memcached")
	asking.Text("db.operation.name", operation)
	return ctx, asking
}
