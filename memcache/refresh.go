package memcache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/timeblob/timeblob/internal/pause"
)

// lookupTimeout limits the lookups of one refresh together.
const lookupTimeout = 10 * time.Second

// keepFresh refreshes the servers until ctx ends. failed is the error of the first refresh.
func (t *Tier) keepFresh(ctx context.Context, failed error) {
	defer close(t.refreshed)
	for failures := 0; ; {
		if failures++; failed == nil {
			failures = 0
		}
		if pause.For(ctx, delay(t.opts.Refresh, failures)) != nil {
			return
		}
		failed = t.refresh(ctx)
	}
}

// delay returns the wait before the next refresh after a number of failed ones. It is random, so that
// collectors that were started together drift apart.
func delay(refresh time.Duration, failures int) time.Duration {
	if failures > 0 {
		refresh = min(refresh, time.Second<<min(failures-1, 10))
	}
	return time.Duration(float64(refresh) * (0.9 + 0.2*rand.Float64()))
}

// refresh looks up the servers. Results of failed lookups stay in use; the error is logged and returned.
func (t *Tier) refresh(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	names, err := t.servers.names(bounded, t.opts.Resolver)
	if err == nil {
		slices.Sort(names)
		err = t.adopt(bounded, names)
	}
	if err != nil && ctx.Err() == nil {
		t.metrics.lookupFailures.Inc()
		t.opts.Logger.Warn("memcache: servers cannot be looked up and stay as they were", "servers", t.servers.String(), "err", err)
	}
	return err
}

// adopt makes names, in their order, the servers. Servers that stay keep their connections. Servers that go
// finish their requests. Servers whose addresses were not resolved keep their positions and last addresses;
// the error names them.
func (t *Tier) adopt(ctx context.Context, names []string) error {
	old := t.ring.Load()
	known, next := old.named(), new(ring)
	for _, name := range names {
		if known[name] == nil {
			known[name] = newServer(name, &t.opts, t.metrics)
		}
		next.servers = append(next.servers, known[name])
	}
	err := t.resolve(ctx, next)
	t.ring.Store(next)
	gone := old.named()
	for _, name := range names {
		delete(gone, name)
	}
	for _, s := range gone {
		s.retire()
	}
	if !slices.Equal(old.servers, next.servers) {
		t.opts.Logger.Info("memcache: servers changed", "servers", names)
	}
	return err
}

// resolve looks up the addresses of the servers in r.
func (t *Tier) resolve(ctx context.Context, r *ring) error {
	var errs error
	for name, s := range r.named() {
		found, err := addresses(ctx, t.opts.Resolver, name)
		if err == nil && len(found) == 0 {
			err = errNoAddress
		}
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		s.addresses.Store(&found)
	}
	return errs
}
