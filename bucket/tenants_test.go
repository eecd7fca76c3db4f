package bucket_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// nameless is a source that cannot name its tenants.
type nameless struct{ bucket.Source[ids] }

func (nameless) String() string { return "collector 7" }

// TestTenantsOfAQuerier asks for the tenants of an index and of two collectors:
// one that answers, and one that cannot.
func TestTenantsOfAQuerier(t *testing.T) {
	t.Parallel()
	s, idx := newStores(t), index.NewMemIndex()
	collector := func() *bucket.Collector[ids] {
		c, err := bucket.NewCollector(idx, s.blobs, mergeIDs, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	querier := func(of index.Index) *bucket.Querier[ids] {
		q, err := bucket.NewQuerier(of, s.blobs, mergeIDs, nil)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	c, other := collector(), collector()
	for _, tenant := range []string{"stored", "also-stored"} {
		if err := c.Add(t.Context(), tenant, ids{1}, &bucket.AddOptions{At: time.Now().Add(-1000 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, to := range []*bucket.Collector[ids]{c, other} {
		if err := to.Add(t.Context(), "live", ids{2}, nil); err != nil {
			t.Fatal(err)
		}
	}
	q := querier(idx)
	want := []string{"also-stored", "live", "stored"}
	if got, err := q.Tenants(t.Context(), []bucket.Source[ids]{c, other}); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if got, err := q.Past().Tenants(t.Context()); err != nil || !slices.Equal(got, []string{"also-stored", "stored"}) {
		t.Errorf("of the index: %v, %v", got, err)
	}
	got, err := q.Tenants(t.Context(), []bucket.Source[ids]{c, nameless{other}})
	said, ok := errors.AsType[*bucket.SourceError](err)
	if !ok || said.Source != "collector 7" || !errors.Is(err, errors.ErrUnsupported) || !slices.Equal(got, want) {
		t.Errorf("with a source that names no tenants: %v, %v", got, err)
	}
	if _, err := querier(struct{ index.Index }{idx}).Tenants(t.Context(), nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("with an index that lists no tenants: %v", err)
	}
}

// TestHasNamesASourceThatFails: that nothing was found means nothing while a
// source does not answer.
func TestHasNamesASourceThatFails(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	c := s.collector(t, nil)
	away := &hooked{Source: c, before: func(int64) error { return bucket.ErrClosed }}
	from, to := always()
	sources := []bucket.Source[ids]{away, c}
	has, err := s.querier(t).Has(t.Context(), "a", from, to, sources)
	if said, ok := errors.AsType[*bucket.SourceError](err); has || !ok || said.Source != "source 0" || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("with nothing there: %v, %v", has, err)
	}
	if err := c.Add(t.Context(), "a", ids{1}, nil); err != nil {
		t.Fatal(err)
	}
	if has, err := s.querier(t).Has(t.Context(), "a", from, to, sources); !has || err != nil {
		t.Errorf("held by the other source: %v, %v", has, err)
	}
}

// wild is a source whose methods panic.
type wild struct{}

func (wild) String() string { return "wild" }

func (wild) Held(context.Context, string, time.Time, time.Time) (bucket.Held[ids], error) {
	panic(errBroken)
}

func (wild) HeldTenants(context.Context) ([]string, error) { panic(errBroken) }

// TestASourceThatPanics asks a querier of a source that panics and of one that answers. The
// first one is a source that does not answer.
func TestASourceThatPanics(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	c := s.collector(t, nil)
	mustAdd(t, c, "a", 1)
	sources := []bucket.Source[ids]{wild{}, c}
	from, to := always()
	a, err := s.querier(t).Range(t.Context(), "a", from, to, sources, nil)
	wantIDs(t, "range", a, err, ids{1})
	if len(a.Missing) != 1 || a.Missing[0].Source != "wild" || !errors.Is(a.Missing[0].Err, errBroken) {
		t.Errorf("missing: %v", a.Missing)
	}
	q, err := bucket.NewQuerier(index.NewMemIndex(), s.blobs, mergeIDs, nil)
	if err != nil {
		t.Fatal(err)
	}
	tenants, err := q.Tenants(t.Context(), sources)
	said, ok := errors.AsType[*bucket.SourceError](err)
	if _, panicked := errors.AsType[*bucket.PanicError](err); !ok || !panicked || said.Source != "wild" || !slices.Equal(tenants, []string{"a"}) {
		t.Errorf("tenants: %v, %v", tenants, err)
	}
}

// TestADeletedTenantIsNotListed deletes all that a tenant has, of values that wait and of
// stored ones, while its live window lasts. It is listed again when a value comes.
func TestADeletedTenantIsNotListed(t *testing.T) {
	t.Parallel()
	blobs, err := tiered.New(idCodec{}, &tiered.MemTier{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := bucket.NewCollector(index.NewMemIndex(), blobs, mergeIDs, fast())
	if err != nil {
		t.Fatal(err)
	}
	want := func(when string, ids ...string) {
		t.Helper()
		all, err := c.Tenants(t.Context())
		if err != nil || !slices.Equal(all, ids) || !slices.Equal(c.LiveTenants(), ids) {
			t.Errorf("%s: tenants %v, live %v, %v; want %v", when, all, c.LiveTenants(), err, ids)
		}
	}
	for _, flush := range []bool{true, false} {
		mustAdd(t, c, "a", 1)
		mustAdd(t, c, "b", 2)
		if flush {
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		want("added", "a", "b")
		if _, err := c.DeleteTenant(t.Context(), "a", now); err != nil {
			t.Fatal(err)
		}
		want("deleted", "b")
	}
	mustAdd(t, c, "a", 3)
	want("added again", "a", "b")
}
