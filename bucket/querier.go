package bucket

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/bucket/internal/outbox"
	"github.com/timeblob/timeblob/index"
)

// Source tells what a collector holds; *Collector is one, and what asks one in
// another process is another. It is safe for any number of goroutines.
type Source[T any] interface {
	// Held returns what Collector.Held does, or an error; it must return when
	// ctx ends.
	Held(ctx context.Context, tenant string, from, to time.Time) (Held[T], error)
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

// Answer is the merge of a range, and what is not in it.
type Answer[T any] struct {
	Value T // shared: nobody may change it
	// Failed holds, for each source in the order given, why what it holds is
	// not in Value: the error of asking it, nil when it answered.
	Failed []error
}

// maxAskers is how many sources are asked at a time.
const maxAskers = 32

// A question whose sources change while it looks is put again, at most so many
// times, after a pause that gives a flush under way time to end.
const (
	maxRounds  = 40
	roundPause = 2 * time.Millisecond
)

// ErrUnsettled is returned when sources changed each time that they were
// looked at: their ticks are shorter than a question takes.
var ErrUnsettled = errors.New("collectors seal faster than they can be asked: ask again, or make ticks longer")

// Range returns the merge of every value of the tenant with from ≤ instant
// < to that is in the index or that a source holds, each once, and of none a
// value sealed later without those sealed before: sources are asked before the
// index is read, and again where it has what they may have sealed meanwhile. As
// with [Collector.Range] the instant of an open tick is yet to come.
//
// What sources that fail hold is not in the answer, which says so. Any other
// failure is an error, as of [Quantizer.Range], a *TenantError, or
// ErrUnsettled.
func (q *Querier[T]) Range(ctx context.Context, tenant string, from, to time.Time, sources []Source[T]) (Answer[T], error) {
	if err := index.CheckTenant(tenant); err != nil {
		return Answer[T]{}, err
	}
	start, end, err := span(from, to)
	if err != nil {
		return Answer[T]{}, err
	}
	p := newPoll(tenant, from, to, sources)
	entries, err := p.settle(ctx, func() ([]index.Entry, error) { return q.past.entries(ctx, tenant, start, end) })
	if err != nil {
		return Answer[T]{}, err
	}
	value, err := q.past.merge(ctx, tenant, entries, start, end, p.extra(entries)...)
	return Answer[T]{Value: value, Failed: p.failed}, err
}

// Has reports whether the tenant has any value with from ≤ instant < to, in
// the index or held by a source that answers.
func (q *Querier[T]) Has(ctx context.Context, tenant string, from, to time.Time, sources []Source[T]) (bool, error) {
	if err := index.CheckTenant(tenant); err != nil {
		return false, err
	}
	p := newPoll(tenant, from, to, sources)
	if err := p.ask(ctx, p.all(), p.held); err != nil {
		return false, err
	}
	if len(p.extra(nil)) > 0 {
		return true, nil
	}
	return q.past.Has(ctx, tenant, from, to)
}

// poll is one question to several sources.
type poll[T any] struct {
	tenant   string
	from, to time.Time
	sources  []Source[T]
	held     []Held[T] // by source
	failed   []error   // likewise
}

func newPoll[T any](tenant string, from, to time.Time, sources []Source[T]) *poll[T] {
	return &poll[T]{tenant: tenant, from: from, to: to, sources: sources,
		held: make([]Held[T], len(sources)), failed: make([]error, len(sources))}
}

func (p *poll[T]) all() []int {
	places := make([]int, len(p.sources))
	for i := range places {
		places[i] = i
	}
	return places
}

// settle asks the sources and then reads the index, until what both said
// belongs together. It returns the entries.
func (p *poll[T]) settle(ctx context.Context, read func() ([]index.Entry, error)) ([]index.Entry, error) {
	if err := p.ask(ctx, p.all(), p.held); err != nil {
		return nil, err
	}
	for range maxRounds {
		entries, err := read()
		if err != nil {
			return nil, err
		}
		agreed, err := p.agree(ctx, entries)
		if agreed || err != nil {
			return entries, err
		}
		outbox.Pause(ctx, roundPause, nil)
	}
	return nil, ErrUnsettled
}

// agree reports whether what is held and the entries, read after it, belong
// together. It asks those again of whom that is not plain, and takes over what
// they hold now when they do not.
func (p *poll[T]) agree(ctx context.Context, entries []index.Entry) (bool, error) {
	var doubtful []int
	for i := range p.held {
		if p.failed[i] == nil && p.held[i].doubtful(entries) {
			doubtful = append(doubtful, i)
		}
	}
	now := make([]Held[T], len(p.sources))
	if err := p.ask(ctx, doubtful, now); err != nil {
		return false, err
	}
	agreed := true
	for _, i := range doubtful {
		if p.failed[i] == nil && !p.held[i].confirmed(now[i].Version, entries) {
			p.held[i], agreed = now[i], false
		}
	}
	return agreed, nil
}

// ask asks the sources of some places what they hold. A source's failure is
// noted, and its place is then empty; the error is the context's.
func (p *poll[T]) ask(ctx context.Context, places []int, into []Held[T]) error {
	var g errgroup.Group // whose goroutines return no errors: one source does not end another
	g.SetLimit(maxAskers)
	for _, i := range places {
		g.Go(func() error {
			into[i], p.failed[i] = p.sources[i].Held(ctx, p.tenant, p.from, p.to)
			if p.failed[i] != nil {
				into[i], p.held[i] = Held[T]{}, Held[T]{}
			}
			return nil
		})
	}
	_ = g.Wait()
	return ctx.Err()
}

// extra returns the values held that are not among the entries. Of sources that
// are one collector under several names the first counts.
func (p *poll[T]) extra(entries []index.Entry) (values []T) {
	heard := make(map[string]bool)
	for i := range p.held {
		h := &p.held[i]
		if id := h.collector(); id != "" {
			if heard[id] {
				continue
			}
			heard[id] = true
		}
		values = append(values, h.extra(entries)...)
	}
	return values
}
