package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/timeblob/timeblob/bucket"
)

// client sends values to one node until ctx ends. It repeats what it does not know to be taken, and some of what it
// does.
type client struct {
	world *world
	node  *node
	rng   *rand.Rand
}

func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		sleep(ctx, time.Duration(c.rng.Int64N(int64(400*time.Millisecond))))
		c.send(ctx)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// slack is how far an instant may lie from the clock's: a value moves when its instant is taken.
const slack = int64(10 * time.Millisecond)

// backwards is how far a clock may be set back without the instants of ticks following it.
const backwards = time.Second

// send sends one value, once or more.
func (c *client) send(ctx context.Context) {
	p := c.node.running()
	if p == nil {
		return
	}
	now := c.node.now()
	v := &value{tenant: tenants[c.rng.IntN(len(tenants))], node: c.node, sets: c.node.set.Load(), process: p, sent: time.Now(),
		earliest: now.UnixNano() - slack, latest: now.UnixNano() + slack}
	opts := &bucket.AddOptions{}
	if c.rng.IntN(4) == 0 {
		opts.At = now.Add(-time.Duration(c.rng.Int64N(int64(time.Minute))))
	} else if c.world.harsh && c.rng.IntN(2) == 0 {
		opts.At = wholeSecond(c.rng)
	}
	if opts.At.After(now) {
		opts.At = time.Time{}
	}
	if !opts.At.IsZero() {
		v.past, v.earliest, v.latest = true, opts.At.UnixNano(), opts.At.UnixNano()+slack
	}
	id := c.world.model.send(v)
	if c.rng.IntN(3) > 0 {
		opts.ID = fmt.Sprint("id-", id)
	}
	blob := c.rng.IntN(2) == 0
	for i := range 10 {
		if i > 0 {
			c.node.repeats.Add(1)
		}
		again := c.once(ctx, id, v, opts, blob) && opts.ID != "" && !c.node.small
		if i > 0 {
			c.node.repeats.Add(-1)
		}
		sleep(ctx, time.Duration(c.rng.Int64N(int64(600*time.Millisecond))))
		if !again || time.Since(v.sent) > window-tick || v.sets != c.node.set.Load() || ctx.Err() != nil {
			return
		}
	}
}

// once sends a value once, and reports whether it is to be sent again.
func (c *client) once(ctx context.Context, id int, v *value, opts *bucket.AddOptions, blob bool) (again bool) {
	p := c.node.running()
	if p == nil {
		return true // nobody answers; it may come back
	}
	sending, cancel := context.WithTimeout(ctx, time.Duration(c.rng.Int64N(int64(3*time.Second))))
	defer cancel()
	err := c.add(sending, p, id, v.tenant, opts, blob)
	m, stats := &c.world.model, &c.world.stats
	switch {
	case p.dead.Load() || sending.Err() != nil && err != nil:
		stats.unknown.Add(1)
		return true
	case err == nil && v.acked:
		stats.repeated.Add(1)
		return c.rng.IntN(2) == 0
	case err == nil:
		stats.acked.Add(1)
		latest := v.latest
		if opts.At.IsZero() {
			latest = c.node.now().UnixNano() + int64(tick+backwards) + slack
		}
		m.acknowledge(id, latest)
		return c.rng.IntN(2) == 0
	case opts.ID == "":
		stats.refused.Add(1)
		m.refuse(id)
	}
	return opts.ID != "" // it was refused, and may be taken another time
}

func (c *client) add(ctx context.Context, p *process, id int, tenant string, opts *bucket.AddOptions, blob bool) error {
	if !blob {
		return p.collector.Add(ctx, tenant, ids{id}, opts)
	}
	b, err := json.Marshal(ids{id})
	if err != nil {
		return err
	}
	return p.collector.AddBlob(ctx, tenant, bucket.Encoded[ids]{Blob: b}, opts)
}
