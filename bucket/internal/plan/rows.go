package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/index"
)

// rowFunc gets a row's entries in the range. Several goroutines call it at a
// time. Its error ends the reading.
type rowFunc func(row index.Row, entries []index.Entry) error

// Entries returns the tenant's entries of [from, to), in Unix nanoseconds and
// ascending order; none when to ≤ from. The slice is the caller's.
func (p *Past[T]) Entries(ctx context.Context, tenant string, from, to int64) ([]index.Entry, error) {
	s, err := p.readIn(ctx, func(ctx context.Context) (s Series, err error) {
		s.Entries, err = p.entries(ctx, tenant, from, to)
		return s, err
	})
	return s.Entries, err
}

// readIn calls read, in a span, and measures it.
func (p *Past[T]) readIn(ctx context.Context, read func(context.Context) (Series, error)) (Series, error) {
	defer p.metrics.took("index", time.Now())
	ctx, planning := spans.Child(ctx, "plan")
	s, err := read(ctx)
	planning.Int(spanEntries, len(s.Entries))
	planning.Int(spanRollups, len(s.Rolled))
	planning.End(err)
	if err == nil {
		p.metrics.entries.Observe(float64(len(s.Entries)))
		p.counts.entries.Add(int64(len(s.Entries)))
	}
	return s, err
}

// entries reads the rows of [from, to).
func (p *Past[T]) entries(ctx context.Context, tenant string, from, to int64) ([]index.Entry, error) {
	var found gathered
	err := p.readRows(ctx, tenant, from, to, func(row index.Row, entries []index.Entry) error {
		if found.add(row, entries) > p.opts.MaxEntries {
			return &TooManyError{Tenant: tenant, Limit: p.opts.MaxEntries}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found.inOrder(), nil
}

// errFound ends the reading of rows for Has.
var errFound = errors.New("found")

// Has reports whether the tenant has entries in [from, to). One that was found
// is an answer even when another row cannot be read.
func (p *Past[T]) Has(ctx context.Context, tenant string, from, to int64) (bool, error) {
	defer p.metrics.took("index", time.Now())
	ctx, looking := spans.Child(ctx, "has")
	var found atomic.Bool
	err := p.readRows(ctx, tenant, from, to, func(_ index.Row, entries []index.Entry) error {
		if len(entries) == 0 {
			return nil
		}
		found.Store(true)
		return errFound
	})
	if found.Load() {
		err = nil
	}
	looking.End(err)
	return found.Load(), err
}

// manyRows is how many rows a question touches at least for a Scanner to be
// asked: below, a query of each, side by side, costs less.
const manyRows = 64

// readRows calls show for every row that [from, to) touches, some at a time, or
// returns the first error.
func (p *Past[T]) readRows(ctx context.Context, tenant string, from, to int64, show rowFunc) error {
	if to <= from {
		return nil
	}
	first, last := index.RowAt(tenant, from), index.RowAt(tenant, to-1)
	if first == last {
		return p.readRow(ctx, first, from, to, show)
	}
	if scanner, ok := p.index.(index.Scanner); ok && last.Hour-first.Hour >= manyRows {
		return scanRows(ctx, scanner, tenant, from, to, show)
	}
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(p.opts.Rows)
	for row := range index.Rows(tenant, from, to) {
		if running.Err() != nil {
			break
		}
		group.Go(func() error { return p.readRow(running, row, from, to, show) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err() // rows may have been left out
}

func (p *Past[T]) readRow(ctx context.Context, row index.Row, from, to int64, show rowFunc) error {
	entries, err := p.index.Query(ctx, row, max(from, row.Start()), min(to, row.End()))
	if err != nil {
		return fmt.Errorf("index of tenant %q, hour from %s: %w", row.Tenant, instant(row.Start()), err)
	}
	return show(row, entries)
}

// scanRows is readRows on an index that can walk over rows.
func scanRows(ctx context.Context, idx index.Scanner, tenant string, from, to int64, show rowFunc) error {
	var row index.Row
	var entries []index.Entry
	for e, err := range idx.Scan(ctx, tenant, from, to) {
		if err != nil {
			return fmt.Errorf("read the index of tenant %q from %s on: %w", tenant, instant(from), err)
		}
		if at := index.RowAt(tenant, e.Time); at != row {
			if err := show(row, entries); err != nil {
				return err
			}
			row, entries = at, nil
		}
		entries = append(entries, e)
	}
	return show(row, entries)
}

// gathered collects the entries of rows that come in any order.
type gathered struct {
	mu    sync.Mutex // guards what follows
	rows  []rowEntries
	count int
}

type rowEntries struct {
	hour    int64
	entries []index.Entry
}

// add takes a row's entries and returns the number of entries of all rows so far.
func (g *gathered) add(row index.Row, entries []index.Entry) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(entries) > 0 {
		g.rows = append(g.rows, rowEntries{row.Hour, entries})
		g.count += len(entries)
	}
	return g.count
}

// inOrder returns all entries, ascending, once nobody adds any more.
func (g *gathered) inOrder() []index.Entry {
	if len(g.rows) == 1 {
		return g.rows[0].entries
	}
	slices.SortFunc(g.rows, func(a, b rowEntries) int { return cmp.Compare(a.hour, b.hour) })
	all := make([]index.Entry, 0, g.count)
	for _, r := range g.rows {
		all = append(all, r.entries...)
	}
	return all
}

// maxSeries is how many tenants' entries a question reads at a time.
const maxSeries = 16

// SeriesOf returns what read returns for each of several tenants, by index. Their
// entries are together at most MaxEntries. Several goroutines call read at a
// time.
func (p *Past[T]) SeriesOf(ctx context.Context, tenants []string, read func(ctx context.Context, i int) (Series, error)) ([]Series, error) {
	all := make([]Series, len(tenants))
	var count atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxSeries)
	for i, tenant := range tenants {
		group.Go(func() error {
			s, err := read(ctx, i)
			all[i] = s
			if err == nil && count.Add(int64(len(s.Entries))) > int64(p.opts.MaxEntries) {
				return &TooManyError{Tenant: tenant, Limit: p.opts.MaxEntries}
			}
			return err
		})
	}
	return all, group.Wait()
}
