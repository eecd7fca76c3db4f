package index

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"
)

// MemIndex is an Index in memory, for tests and for collectors that need not
// outlive their process. The zero value is empty and ready; a MemIndex must
// not be copied.
//
// Put costs a binary search, and a move of the row's younger entries when e is
// not the youngest. Query costs two binary searches and the copy it returns.
// Reading a row that has no entries leaves nothing behind.
type MemIndex struct {
	mu     sync.RWMutex         // guards rows, places and the slices in them
	rows   map[Row][]Entry      // ascending by Time; no row is empty
	places map[PlaceSet][]Place // ascending by Start

	versions Versions
}

var (
	_ Index        = (*MemIndex)(nil)
	_ Scanner      = (*MemIndex)(nil)
	_ Deleter      = (*MemIndex)(nil)
	_ TenantLister = (*MemIndex)(nil)
	_ Places       = (*MemIndex)(nil)
	_ Versioned    = (*MemIndex)(nil)
)

// NewMemIndex returns an empty index.
func NewMemIndex() *MemIndex { return new(MemIndex) }

// Put implements Index. It refuses an entry whose instant lies outside the
// row, because no query for that instant would ever find it.
func (x *MemIndex) Put(ctx context.Context, row Row, e Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if RowAt(row.Tenant, e.Time) != row {
		return fmt.Errorf("instant %d is not in hour %d", e.Time, row.Hour)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := CheckPut(ctx, x.settings(), e.Time, time.Now()); err != nil {
		return err
	}
	entries := x.rows[row]
	i, taken := Search(entries, e.Time)
	if taken {
		return ErrExists
	}
	if x.rows == nil {
		x.rows = make(map[Row][]Entry)
	}
	x.versions.Begin(row)
	defer x.versions.End(row)
	x.rows[row] = slices.Insert(entries, i, e)
	return nil
}

// Query implements Index.
func (x *MemIndex) Query(ctx context.Context, row Row, from, to int64) ([]Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	entries := x.rows[row]
	first, _ := Search(entries, from)
	end, _ := Search(entries, to)
	if end <= first {
		return nil, nil
	}
	return slices.Clone(entries[first:end]), nil
}

// Delete implements Deleter. All of the entries are removed at once.
func (x *MemIndex) Delete(ctx context.Context, row Row, entries []Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := CheckDelete(ctx, x.settings()); err != nil {
		return err
	}
	x.versions.Begin(row)
	defer x.versions.End(row)
	left := x.rows[row]
	for _, e := range entries {
		if i, ok := Search(left, e.Time); ok && left[i].Same(e) {
			left = slices.Delete(left, i, i+1)
		}
	}
	if len(left) == 0 {
		delete(x.rows, row)
		return nil
	}
	x.rows[row] = left
	return nil
}

// Scan implements Scanner. It looks at every row of the index, whatever its
// tenant.
func (x *MemIndex) Scan(ctx context.Context, tenant string, from, to int64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for _, row := range x.rowsOf(tenant) {
			entries, err := x.Query(ctx, row, from, to)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// rowsOf returns the tenant's rows that have entries, in order.
func (x *MemIndex) rowsOf(tenant string) (rows []Row) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for row := range x.rows {
		if row.Tenant == tenant {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Compare(a.Hour, b.Hour) })
	return rows
}

// Tenants implements TenantLister. It looks at every row and place of the index.
func (x *MemIndex) Tenants(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := ctx.Err(); err != nil {
			yield("", err)
			return
		}
		for tenant := range x.tenants() {
			if !yield(tenant, nil) {
				return
			}
		}
	}
}

func (x *MemIndex) tenants() map[string]struct{} {
	x.mu.RLock()
	defer x.mu.RUnlock()
	tenants := make(map[string]struct{})
	for row := range x.rows {
		tenants[row.Tenant] = struct{}{}
	}
	for set, places := range x.places {
		if _, known := tenants[set.Tenant]; !known && slices.ContainsFunc(places, func(p Place) bool { return p.Blob() != "" }) {
			tenants[set.Tenant] = struct{}{}
		}
	}
	return tenants
}

// Search returns the position of the instant t among entries in ascending
// order of Time, and whether one of them has it.
func Search(entries []Entry, t int64) (position int, taken bool) {
	return slices.BinarySearchFunc(entries, t, func(e Entry, t int64) int { return cmp.Compare(e.Time, t) })
}

// settings returns the state at SettingsSet, nil where there is none. The
// caller holds mu.
func (x *MemIndex) settings() []byte {
	if p := x.places[SettingsSet]; len(p) > 0 {
		return p[0].State
	}
	return nil
}

// Places implements Places.
func (x *MemIndex) Places(ctx context.Context, set PlaceSet, from, to int64) ([]Place, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	places := x.places[set]
	first, _ := searchPlace(places, from)
	end, _ := searchPlace(places, to)
	now := time.Now()
	gone := func(p Place) bool { return p.Gone(now) }
	return slices.DeleteFunc(slices.Clone(places[first:max(first, end)]), gone), nil
}

// SwapPlace implements Places.
func (x *MemIndex) SwapPlace(ctx context.Context, set PlaceSet, old string, next Place) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	places := x.places[set]
	i, taken := searchPlace(places, next.Start)
	next.State = slices.Clone(next.State)
	id := ""
	if taken && !places[i].Gone(time.Now()) {
		id = places[i].ID
	}
	if id != old {
		return false, nil
	}
	row := RowAt(set.Tenant, next.Start)
	x.versions.Begin(row)
	defer x.versions.End(row)
	if taken {
		places[i] = next
		return true, nil
	}
	if x.places == nil {
		x.places = make(map[PlaceSet][]Place)
	}
	x.places[set] = slices.Insert(places, i, next)
	return true, nil
}

// Version implements Versioned.
func (x *MemIndex) Version(tenant string, from, to int64) (version uint64, ok bool) {
	return x.versions.Version(tenant, from, to)
}

// StoreTime implements Places: the store is this process.
func (x *MemIndex) StoreTime() time.Time { return time.Now() }

// searchPlace returns the position of the place that starts at start among
// places in ascending order, and whether there is one.
func searchPlace(places []Place, start int64) (position int, taken bool) {
	return slices.BinarySearchFunc(places, start, func(p Place, start int64) int { return cmp.Compare(p.Start, start) })
}
