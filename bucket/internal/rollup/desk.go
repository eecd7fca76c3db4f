package rollup

import (
	"sync"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/levels"
)

const (
	// maxWaiting bounds the spans that wait, and those whose old roll-ups do.
	maxWaiting = 100_000
	// maxAsked bounds the tenants that a builder knows.
	maxAsked = 100_000
	// firstRetry is how long a span that failed waits; each failure doubles it.
	firstRetry, lastRetry = 30 * time.Second, time.Hour
	// builds is how long Stats remembers a build.
	builds = time.Hour
)

// desk is what a builder knows of its work.
type desk struct {
	mu     sync.Mutex           // guards what follows
	asked  map[string]time.Time // when somebody asked about a tenant last
	marks  map[markOf]int64     // up to where a tenant's spans were looked at
	wait   map[levels.Span]waiting
	old    map[levels.Span]time.Time // since when a place has old roll-ups
	recent []build
	stats  map[time.Duration]*Stats // of a level, but what is derived
}

type markOf struct {
	tenant string
	level  time.Duration
}

// waiting is a span that is to be built.
type waiting struct {
	due   time.Time
	tries int
}

// outcome is how a build ended.
type outcome struct {
	sealed, void bool
	took         time.Duration
	old          []string
	at           time.Time
}

// build is one that ended well lately.
type build struct {
	level time.Duration
	at    time.Time
	took  time.Duration
}

// Stats are figures of one level of a builder, since it began unless said
// otherwise.
type Stats struct {
	Level         time.Duration
	Built         int64         // spans that were sealed
	Void          int64         // spans whose roll-up is not kept
	Failed        int64         // builds that failed
	LastHour      int           // spans that were sealed in the last hour
	Busy          time.Duration // how long those builds took together
	Waiting       int           // spans that are due
	OldestWaiting time.Duration // since the oldest of them could be built
}

func (d *desk) init() {
	d.asked, d.marks = make(map[string]time.Time), make(map[markOf]int64)
	d.wait, d.old = make(map[levels.Span]waiting), make(map[levels.Span]time.Time)
	d.stats = make(map[time.Duration]*Stats)
}

func (d *desk) ask(tenant string, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.asked[tenant]; known || len(d.asked) < maxAsked {
		d.asked[tenant] = now
	}
}

// wants reports whether somebody asked about a tenant since then.
func (d *desk) wants(tenant string, since time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[tenant].After(since)
}

// tenants returns the tenants that were asked about since then, and forgets
// others.
func (d *desk) tenants(since time.Time) (tenants []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for tenant, at := range d.asked {
		if at.Before(since) {
			delete(d.asked, tenant)
			continue
		}
		tenants = append(tenants, tenant)
	}
	return tenants
}

// add notes a span that is due then, unless it waits already.
func (d *desk) add(span levels.Span, due time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.wait[span]; !known && len(d.wait) < maxWaiting {
		d.wait[span] = waiting{due: due}
	}
}

// put notes when a span is due.
func (d *desk) put(span levels.Span, due time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wait[span] = waiting{due: due}
}

func (d *desk) mark(tenant string, level time.Duration) (at int64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok = d.marks[markOf{tenant, level}]
	return at, ok
}

func (d *desk) setMark(tenant string, level time.Duration, at int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.marks) >= 4*maxAsked {
		clear(d.marks) // tenants are looked at from the beginning
	}
	d.marks[markOf{tenant, level}] = at
}

// forget has tenants looked at from the beginning.
func (d *desk) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.marks)
}

// setBack notes that the clock was set back, and from where each level of a tenant
// must be looked at again. No span waits longer than it would have before.
func (d *desk) setBack(by time.Duration, now time.Time, again func(markOf) int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for m, at := range d.marks {
		d.marks[m] = min(at, again(m))
	}
	for span, w := range d.wait {
		w.due = w.due.Add(-by) // what is not ripe then is put off again
		d.wait[span] = w
	}
	for tenant, at := range d.asked {
		if at.After(now) {
			d.asked[tenant] = now
		}
	}
	for span, since := range d.old {
		if since.After(now) {
			d.old[span] = now
		}
	}
}

// due returns the spans that are due now.
func (d *desk) due(now time.Time) (spans []levels.Span) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for span, w := range d.wait {
		if !w.due.After(now) {
			spans = append(spans, span)
		}
	}
	return spans
}

// of returns the figures of a level. The caller holds mu.
func (d *desk) of(level time.Duration) *Stats {
	s := d.stats[level]
	if s == nil {
		s = &Stats{Level: level}
		d.stats[level] = s
	}
	return s
}

// done notes that a span need not be built any more.
func (d *desk) done(span levels.Span, o outcome) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.wait, span)
	s := d.of(span.Level)
	if o.void {
		s.Void++
	}
	if o.sealed {
		s.Built++
		d.recent = append(d.recent, build{span.Level, o.at, o.took})
	}
	if len(o.old) > 0 && len(d.old) < maxWaiting {
		d.old[span] = o.at
	}
}

// failed notes that the build of a span failed.
func (d *desk) failed(span levels.Span, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.wait[span]
	w.due, w.tries = now.Add(min(lastRetry, firstRetry<<min(w.tries, 10))), w.tries+1
	d.wait[span] = w
	d.of(span.Level).Failed++
}

// swept returns the spans whose places have had old roll-ups since before then,
// and forgets them.
func (d *desk) swept(before time.Time) (spans []levels.Span) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for span, since := range d.old {
		if since.Before(before) {
			spans = append(spans, span)
			delete(d.old, span)
		}
	}
	return spans
}

// figures returns the figures of each level.
func (d *desk) figures(s levels.Settings, now time.Time) (all []Stats) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.recent) > 0 && d.recent[0].at.Before(now.Add(-builds)) {
		d.recent = d.recent[1:]
	}
	for _, level := range s.Spans {
		f := *d.of(level)
		for _, b := range d.recent {
			if b.level == level {
				f.LastHour++
				f.Busy += b.took
			}
		}
		for span, w := range d.wait {
			if span.Level == level && !w.due.After(now) {
				f.Waiting++
				f.OldestWaiting = max(f.OldestWaiting, now.Sub(time.Unix(0, span.End()).Add(s.Lateness)))
			}
		}
		all = append(all, f)
	}
	return all
}

// show sets the gauges.
func (d *desk) show(m *Metrics, s levels.Settings, now time.Time) {
	for _, f := range d.figures(s, now) {
		m.waiting.WithLabelValues(Name(f.Level)).Set(float64(f.Waiting))
		m.oldest.WithLabelValues(Name(f.Level)).Set(f.OldestWaiting.Seconds())
	}
}
