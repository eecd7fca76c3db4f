package memcache

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// Open returns a tier on servers. It looks them up before it returns. When that fails, Open still succeeds,
// because a program must start without its cache: the tier returns ErrNoServers and repeats the lookup until
// it finds servers. When ctx ends first, Open returns its error. The tier connects to a server at its first
// request.
func Open(ctx context.Context, servers Servers, opts *Options) (*Tier, error) {
	if err := servers.check(); err != nil {
		return nil, err
	}
	full, err := opts.filled()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(full.Registerer, full.Namespace)
	if err != nil {
		return nil, err
	}
	t := &Tier{opts: full, expiration: full.expiration(), servers: servers, metrics: m, calls: newCalls(),
		gate: semaphore.NewWeighted(int64(full.Parallel)), refreshed: make(chan struct{})}
	t.ring.Store(new(ring))
	failed := t.refresh(ctx)
	if err := ctx.Err(); err != nil {
		t.retire()
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	t.stop = stop
	go t.keepFresh(running, failed)
	return t, nil
}
