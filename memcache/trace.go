package memcache

import (
	"context"

	gomemcache "github.com/bradfitz/gomemcache/memcache"

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

// traceGet runs get in a span.
func (t *Tier) traceGet(ctx context.Context, keys []string) (map[string]*gomemcache.Item, error) {
	ctx, asking := client(ctx, "Get")
	found, err := t.get(ctx, keys)
	if asking.Recording() {
		bytes := 0
		for _, item := range found {
			bytes += len(item.Value)
		}
		asking.Int(tracing.Keys, len(keys))
		asking.Int(tracing.Found, len(found))
		asking.Int(tracing.Bytes, bytes)
	}
	asking.End(err)
	return found, err
}

// tracePut runs put in a span.
func (t *Tier) tracePut(ctx context.Context, key string, blob []byte) error {
	ctx, asking := client(ctx, "Put")
	asking.Int(tracing.Bytes, len(blob))
	err := t.put(ctx, key, blob)
	asking.End(err)
	return err
}
