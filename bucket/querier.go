package bucket

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/bucket/internal/plan"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/guard"
	"github.com/timeblob/timeblob/internal/pause"
)

// Source tells what a collector holds. A *Collector is one, and a remote.Client,
// which asks a collector in another process, is another. It is safe for any number of
// goroutines. A panic of its methods is a *PanicError, as if the source did not answer.
type Source[T any] interface {
	// Held returns what Collector.Held does, or an error; it must return when
	// ctx ends.
	Held(ctx context.Context, tenant string, from, to time.Time) (Held[T], error)
}

// VersionSource is a Source that tells its version without what it holds. A Querier asks any other
// source for what it holds of a range of 1 ns. Implement it only if such a question costs much
// more than Version.
type VersionSource interface {
	// Version returns what Held.Version is now, or an error; it must return when ctx ends.
	Version(ctx context.Context, tenant string) (string, error)
}

// TenantSource is a Source that names the tenants whose values it holds;
// *Collector is one.
type TenantSource interface {
	// HeldTenants returns ids, in any order.
	HeldTenants(ctx context.Context) ([]string, error)
}

// Querier answers questions about what several collectors take in and store in
// one index and one blob store, and holds nothing live itself. It is safe for
// any number of goroutines, starts none that outlives a call, and needs no
// closing.
type Querier[T any] struct{ past *Quantizer[T] }

// NewQuerier returns a Querier that reads the past with a Quantizer made of
// the same arguments; see [NewQuantizer].
func NewQuerier[T any](idx index.Index, blobs Blobs[T], merge Merge[T], opts *QuantizerOptions[T]) (*Querier[T], error) {
	past, err := NewQuantizer(idx, blobs, merge, opts)
	if err != nil {
		return nil, err
	}
	return &Querier[T]{past}, nil
}

// Past returns what answers from index and blobs alone.
func (q *Querier[T]) Past() *Quantizer[T] { return q.past }

// maxAskers is how many sources are asked at a time.
const maxAskers = 32

// A question whose sources change while it looks is put again, at most so many
// times, after a pause that gives a flush under way time to end.
const (
	maxRounds  = 40
	roundPause = 2 * time.Millisecond
)

// A source that seals while it answers slowly would be asked 40 times. A question does not ask
// it any more after minAsks times, and maxAsking in all.
const (
	minAsks   = 3
	maxAsking = 3 * time.Second
)

// ErrUnstable is returned when sources changed each time that they were
// looked at: their ticks are shorter than a question takes.
var ErrUnstable = errors.New("collectors seal faster than they can be asked: ask again, or make ticks longer")

// Range returns the merge of every value of the tenant with from ≤ instant
// < to that is in the index or that a source holds, each once. It never has a
// value that a source sealed later without the values that the source sealed
// before: it asks the sources before it reads the index, and asks again where
// the index has what they may have sealed meanwhile. As with [Collector.Range],
// a range that reaches past a source's last seal includes its open tick.
//
// What a source that fails holds is not in the answer: Answer.Missing names the
// source, by its String method where it has one. A source that seals a value during each of
// its answers has failed when it was asked three times, and for 3 s in all. Any other failure
// is an error as in [Quantizer.Range], a *TenantError, or ErrUnstable.
func (q *Querier[T]) Range(ctx context.Context, tenant string, from, to time.Time, sources []Source[T], opts *RangeOptions) (Answer[T], error) {
	return q.RangeMany(ctx, []string{tenant}, from, to, sources, opts)
}

// RangeMany is Range of several tenants, whose values are merged together.
func (q *Querier[T]) RangeMany(ctx context.Context, tenants []string, from, to time.Time, sources []Source[T], opts *RangeOptions) (a Answer[T], err error) {
	return rounded(from, to, opts, func(from, to time.Time) (Answer[T], error) {
		return q.past.gatherAndAnswer(ctx, func() (gathered[T], error) { return q.gather(ctx, tenants, from, to, sources, opts, reading{}) })
	})
}

// Steps yields the answers for the consecutive slices of [from, to) as
// [Quantizer.Steps] does, with what the sources hold. An open tick is in the
// slice of its instant to come, and in the last one when that is later.
func (q *Querier[T]) Steps(ctx context.Context, tenant string, from, to time.Time, step time.Duration, sources []Source[T], opts *RangeOptions) iter.Seq2[Step[T], error] {
	return func(yield func(Step[T], error) bool) {
		q.past.steps(ctx, from, to, step, yield, func(from time.Time) (gathered[T], error) {
			return q.gather(ctx, []string{tenant}, from, to, sources, opts, reading{step: step})
		})
	}
}

// Values yields the tenant's values with from ≤ instant < to, in order and
// unmerged: stored values and values that the sources hold. A source that does
// not answer is a *SourceError, unless the question allows a partial answer: then
// the sequence begins with a Value for each such source that has only an Err.
func (q *Querier[T]) Values(ctx context.Context, tenant string, from, to time.Time, sources []Source[T], opts *RangeOptions) iter.Seq2[Value[T], error] {
	return func(yield func(Value[T], error) bool) {
		g, err := q.gather(ctx, []string{tenant}, from, to, sources, opts, reading{entries: true})
		if err == nil && len(g.missing) > 0 && !opts.orDefault().Partial {
			err = &SourceError{g.missing[0].Source, g.missing[0].Err}
		}
		gone, err := q.past.removed(ctx, tenant, from, to, opts, err)
		if !begun(tenant, gone, err, yield) {
			return
		}
		for _, m := range g.missing {
			if !yield(Value[T]{Tenant: tenant, Err: &SourceError{m.Source, m.Err}}, nil) {
				return
			}
		}
		yieldInOrder(q.past.past.Values(ctx, g.question), tenant, &g.question, yield)
	}
}

// Has reports whether the tenant has any value with from ≤ instant < to, in
// the index or held by a source. When it finds none and a source does not
// answer, it returns a *SourceError.
func (q *Querier[T]) Has(ctx context.Context, tenant string, from, to time.Time, sources []Source[T]) (bool, error) {
	if err := index.CheckTenant(tenant); err != nil {
		return false, err
	}
	p := newPoll(tenant, from, to, sources)
	if err := p.ask(ctx, p.all(), p.held); err != nil {
		return false, err
	}
	if len(p.live(nil)) > 0 {
		return true, nil
	}
	start, end, err := span(from, to)
	if err != nil {
		return false, err
	}
	has, err := q.past.has(ctx, tenant, start, end, nil)
	if missing := p.missing(); err == nil && !has && len(missing) > 0 {
		err = &SourceError{missing[0].Source, missing[0].Err}
	}
	return has, err
}

// Tenants returns the ids, sorted, of the tenants that have values in the index
// or that a source holds. It lists the index as [Quantizer.Tenants] does. When a
// source does not answer, or is no TenantSource, it returns the ids that it has
// found and a *SourceError for each such source, joined.
func (q *Querier[T]) Tenants(ctx context.Context, sources []Source[T]) ([]string, error) {
	lists, errs := make([][]string, len(sources)), make([]error, len(sources))
	var g errgroup.Group // whose goroutines return no errors: one source does not end another
	g.SetLimit(maxAskers)
	for i, s := range sources {
		g.Go(func() (_ error) {
			ids, err := tenantsOf(ctx, s)
			if lists[i] = ids; err != nil {
				errs[i] = &SourceError{nameOf(s, i), err}
			}
			return
		})
	}
	_ = g.Wait()
	stored, err := q.past.Tenants(ctx) // after the sources, so that no value moves from one to the other unseen
	if err != nil {
		return nil, err
	}
	return union(append(lists, stored)...), errors.Join(errs...)
}

// tenantsOf asks one source for the tenants whose values it holds.
func tenantsOf[T any](ctx context.Context, s Source[T]) (ids []string, err error) {
	lister, ok := s.(TenantSource)
	if !ok {
		return nil, fmt.Errorf("list its tenants: %w", errors.ErrUnsupported)
	}
	defer guard.Recover("a source's HeldTenants", &err)
	return lister.HeldTenants(ctx)
}

// gather asks the sources and reads the index, for several tenants at a time.
func (q *Querier[T]) gather(ctx context.Context, tenants []string, from, to time.Time, sources []Source[T], opts *RangeOptions, how reading) (gathered[T], error) {
	return q.past.gather(ctx, tenants, from, to, opts, how, func(ctx context.Context, tenant string, start, end int64, how reading) (k known[T], err error) {
		p := newPoll(tenant, from, to, sources)
		k.series, err = p.untilStable(ctx, func(held inMemory) (plan.Series, error) {
			return q.past.read(ctx, tenant, start, end, how, held)
		})
		if err != nil {
			return k, err
		}
		k.live, k.missing, k.provisional = p.live(k.series.Entries), p.missing(), p.provisional(end)
		return k, nil
	})
}

// poll is one question to several sources.
type poll[T any] struct {
	tenant   string
	from, to time.Time
	sources  []Source[T]
	held     []Held[T] // by source
	failed   []error   // likewise
	asks     []int     // how often each was asked
	spent    []time.Duration
}

func newPoll[T any](tenant string, from, to time.Time, sources []Source[T]) *poll[T] {
	return &poll[T]{tenant: tenant, from: from, to: to, sources: sources,
		held: make([]Held[T], len(sources)), failed: make([]error, len(sources)),
		asks: make([]int, len(sources)), spent: make([]time.Duration, len(sources))}
}

func (p *poll[T]) all() []int {
	places := make([]int, len(p.sources))
	for i := range places {
		places[i] = i
	}
	return places
}

// untilStable asks the sources and then reads the index, until what both said
// belongs together. It returns what read returned: entries, and roll-ups of spans
// that hold no value of a source.
func (p *poll[T]) untilStable(ctx context.Context, read func(held inMemory) (plan.Series, error)) (s plan.Series, err error) {
	if err := p.ask(ctx, p.all(), p.held); err != nil {
		return s, err
	}
	for range maxRounds {
		s, err := read(p.inMemory())
		if err != nil {
			return s, err
		}
		agreed, err := p.agree(ctx, s.Entries)
		if agreed || err != nil {
			return s, err
		}
		_ = pause.For(ctx, roundPause) // the next look at the index returns the error of ctx
	}
	return s, ErrUnstable
}

// inMemory returns the instants of what the sources hold. A source may seal its
// open tick from its Next on.
func (p *poll[T]) inMemory() (all inMemory) {
	for i := range p.held {
		if p.failed[i] != nil {
			continue
		}
		for _, v := range p.held[i].Sealed {
			all = append(all, instants{v.Entry.Time, v.Entry.Time + maxMoved})
		}
		all = append(all, instants{p.held[i].Next, math.MaxInt64})
	}
	return all
}

// agree reports whether what is held and the entries, read after it, belong
// together. It asks unclear sources again and, when they do not belong together, uses the new answers.
func (p *poll[T]) agree(ctx context.Context, entries []index.Entry) (bool, error) {
	var doubtful, outlived []int
	for i, beside := range p.newestBeside() {
		switch h := &p.held[i]; {
		case p.failed[i] != nil:
		case h.doubtful(entries):
			doubtful = append(doubtful, i)
		case h.collector() != "" && h.outlived(entries, beside):
			outlived = append(outlived, i)
		}
	}
	agreed, err := p.askAgain(ctx, doubtful, entries)
	if !agreed || err != nil {
		return false, err
	}
	restarted, err := p.restarted(ctx, outlived)
	if err != nil {
		return false, err
	}
	return p.askAgain(ctx, restarted, entries)
}

// askAgain asks the sources of some places again, and uses the new answers of those whose old
// ones do not fit the entries. It reports whether all did.
func (p *poll[T]) askAgain(ctx context.Context, places []int, entries []index.Entry) (agreed bool, err error) {
	now := make([]Held[T], len(p.sources))
	if err := p.ask(ctx, places, now); err != nil {
		return false, err
	}
	agreed = true
	for _, i := range places {
		if p.failed[i] == nil && !p.held[i].confirmed(&now[i], entries) {
			p.held[i], agreed = now[i], false
		}
	}
	return agreed, nil
}

// newestBeside returns, for each source, the last instant of what the others have sealed.
func (p *poll[T]) newestBeside() []int64 {
	all := make([]int64, len(p.held))
	first, second := int64(math.MinInt64), int64(math.MinInt64)
	for i := range p.held {
		all[i] = p.held[i].newest()
		first, second = max(first, all[i]), max(second, min(first, all[i]))
	}
	for i, own := range all {
		if all[i] = first; own == first {
			all[i] = second
		}
	}
	return all
}

// restarted returns the places of the sources whose process is not the one that answered.
func (p *poll[T]) restarted(ctx context.Context, places []int) (others []int, err error) {
	versions := make([]string, len(p.sources))
	err = p.each(ctx, places, func(i int) (err error) {
		versions[i], err = p.versionOf(ctx, i)
		return err
	})
	for _, i := range places {
		if p.failed[i] == nil && p.held[i].collector() != collectorOf(versions[i]) {
			others = append(others, i)
		}
	}
	return others, err
}

// versionOf asks the i-th source for its version.
func (p *poll[T]) versionOf(ctx context.Context, i int) (version string, err error) {
	done, err := p.begin(i)
	if err != nil {
		return "", err
	}
	defer done()
	if s, ok := p.sources[i].(VersionSource); ok {
		defer guard.Recover("a source's Version", &err)
		return s.Version(ctx, p.tenant)
	}
	defer guard.Recover("a source's Held", &err)
	h, err := p.sources[i].Held(ctx, p.tenant, p.from, p.from.Add(1))
	return h.Version, err
}

// ask asks the sources of some places what they hold. The error is the context's.
func (p *poll[T]) ask(ctx context.Context, places []int, into []Held[T]) error {
	return p.each(ctx, places, func(i int) (err error) {
		into[i], err = p.heldOf(ctx, i)
		if err != nil {
			into[i] = Held[T]{}
		}
		return err
	})
}

// each calls a function for some places, several at a time. A source's failure is noted, and
// its place is then empty; the error is the context's.
func (p *poll[T]) each(ctx context.Context, places []int, ask func(i int) error) error {
	var g errgroup.Group // whose goroutines return no errors: one source does not end another
	g.SetLimit(maxAskers)
	for _, i := range places {
		g.Go(func() error {
			if p.failed[i] = ask(i); p.failed[i] != nil {
				p.held[i] = Held[T]{}
			}
			return nil
		})
	}
	_ = g.Wait()
	return ctx.Err()
}

// heldOf asks the i-th source.
func (p *poll[T]) heldOf(ctx context.Context, i int) (h Held[T], err error) {
	done, err := p.begin(i)
	if err != nil {
		return h, err
	}
	defer done()
	defer guard.Recover("a source's Held", &err)
	return p.sources[i].Held(ctx, p.tenant, p.from, p.to)
}

// begin counts a request to the i-th source, whose time ends with done. The error is ErrUnstable
// when the source was asked for long enough.
func (p *poll[T]) begin(i int) (done func(), err error) {
	if p.asks[i] >= minAsks && p.spent[i] >= maxAsking {
		return nil, fmt.Errorf("asked %d times in %v: %w", p.asks[i], p.spent[i].Round(time.Millisecond), ErrUnstable)
	}
	p.asks[i]++
	begun := time.Now()
	return func() { p.spent[i] += time.Since(begun) }, nil
}

// live returns the values held that are not among the entries. Of sources that
// are one collector under several names the first counts.
func (p *poll[T]) live(entries []index.Entry) (values []plan.Extra[T]) {
	heard := make(map[string]bool)
	for i := range p.held {
		h := &p.held[i]
		if id := h.collector(); id != "" {
			if heard[id] {
				continue
			}
			heard[id] = true
		}
		values = append(values, h.live(p.tenant, entries)...)
	}
	return values
}

// missing names the sources that did not answer.
func (p *poll[T]) missing() (all []Missing) {
	for i, err := range p.failed {
		if err == nil {
			continue
		}
		all = append(all, Missing{Tenant: p.tenant, Source: nameOf(p.sources[i], i), Err: err})
	}
	return all
}

// nameOf returns the name of a source, which is the i-th one of a question.
func nameOf[T any](s Source[T], i int) string {
	if named, ok := s.(fmt.Stringer); ok {
		return named.String()
	}
	return "source " + strconv.Itoa(i)
}

// provisional returns the earliest instant from which on a source may still seal
// values for a range that ends at an instant.
func (p *poll[T]) provisional(end int64) (t time.Time) {
	for i := range p.held {
		if p.failed[i] == nil {
			t = earlier(t, p.held[i].provisional(end))
		}
	}
	return t
}
