package bucket

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/index"
)

// TenantSource is a Source that names the tenants whose values it holds;
// *Collector is one.
type TenantSource interface {
	// HeldTenants returns ids, in any order.
	HeldTenants(ctx context.Context) ([]string, error)
}

// LiveTenants returns the ids, sorted, of the tenants whose values the collector
// holds in memory: values that came within the window, or that are not yet
// discoverable.
func (c *Collector[T]) LiveTenants() []string { return c.tenants.ids() }

// HeldTenants is LiveTenants. It makes the collector a TenantSource.
func (c *Collector[T]) HeldTenants(ctx context.Context) ([]string, error) {
	return c.LiveTenants(), ctx.Err()
}

// Tenants returns the ids, sorted, of the tenants that have values in the index,
// if the index is an index.TenantLister; listing costs what its documentation
// says. For another index the error is errors.ErrUnsupported.
func (q *Quantizer[T]) Tenants(ctx context.Context) ([]string, error) {
	idx := q.past.Index()
	lister, ok := idx.(index.TenantLister)
	if !ok {
		return nil, fmt.Errorf("list the tenants of an index of type %T: %w", idx, errors.ErrUnsupported)
	}
	var ids []string
	for id, err := range lister.Tenants(ctx) {
		if err != nil {
			return nil, fmt.Errorf("list the tenants of the index: %w", err)
		}
		ids = append(ids, id)
	}
	return union(ids), nil
}

// Tenants returns the ids, sorted, of the tenants that have values in the index
// or in memory. It lists the index as [Quantizer.Tenants] does; use LiveTenants
// for an index that cannot list.
func (c *Collector[T]) Tenants(ctx context.Context) ([]string, error) {
	live := c.LiveTenants()
	stored, err := c.past.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	return union(live, stored), nil
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
			lister, ok := s.(TenantSource)
			if !ok {
				errs[i] = &SourceError{nameOf(s, i), fmt.Errorf("list its tenants: %w", errors.ErrUnsupported)}
				return
			}
			ids, err := lister.HeldTenants(ctx)
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

// union returns the ids of all lists, sorted, each once.
func union(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}
