package rollup

import (
	"sync/atomic"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/internal/gate"
)

// Builder builds in the background. It is safe for any number of goroutines.
type Builder struct {
	opts   Options
	work   work
	desk   desk
	relist time.Time   // when the tenants are listed next; of the goroutine of Run
	moved  time.Time   // when advance looked last; likewise
	clock  clock       // likewise
	all    atomic.Bool // build for every tenant
	crew   *gate.Crew
	builds map[*gate.Call]string // the tenant of each build that may not have returned; of the goroutine of Run
}

// New returns a Builder.
func New(o Options) *Builder {
	b := &Builder{opts: o, work: work{Options: o}, crew: newCrew(&o), builds: make(map[*gate.Call]string)}
	b.all.Store(o.All)
	b.desk.init()
	o.Protocol.Held = b.held
	return b
}

// Asked notes that somebody asks about a tenant.
func (b *Builder) Asked(tenant string) { b.desk.ask(tenant, b.opts.Now()) }

// Offer notes a span that a question merged as a whole.
func (b *Builder) Offer(span levels.Span) { b.desk.add(span, b.ripe(span)) }

// ripe returns when a span may be claimed, or now.
func (b *Builder) ripe(span levels.Span) time.Time {
	now, ripe := b.opts.Now(), time.Unix(0, span.End()).Add(b.opts.Settings.Lateness+b.opts.Settings.Skew)
	if ripe.After(now) {
		return ripe
	}
	return now
}

// held notes a span that a writer of this process holds until then, Unix
// nanoseconds.
func (b *Builder) held(span levels.Span, until int64) {
	if b.all.Load() || b.desk.wants(span.Tenant, b.opts.Now().Add(-interest)) {
		b.desk.add(span, time.Unix(0, until).Add(2*b.opts.Settings.Skew+time.Second))
	}
}

// Stats returns figures of each level, the shortest first.
func (b *Builder) Stats() []Stats { return b.desk.figures(b.opts.Settings, b.opts.Now()) }
