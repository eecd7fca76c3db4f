package index

import (
	"cmp"
	"context"
	"slices"
	"time"
)

var _ Places = (*MemIndex)(nil)

// Places implements the interface of that name.
func (x *MemIndex) Places(ctx context.Context, set PlaceSet, from, to int64) ([]Place, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	places := x.places[set]
	first, _ := searchPlace(places, from)
	end, _ := searchPlace(places, to)
	return slices.Clone(places[first:max(first, end)]), nil
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
	switch {
	case taken && places[i].ID != old, !taken && old != "":
		return false, nil
	case taken:
		places[i] = next
		return true, nil
	}
	if x.places == nil {
		x.places = make(map[PlaceSet][]Place)
	}
	x.places[set] = slices.Insert(places, i, next)
	return true, nil
}

// StoreTime implements Places: the store is this process.
func (x *MemIndex) StoreTime() time.Time { return time.Now() }

// searchPlace returns the position of the place that starts at start among
// places in ascending order, and whether there is one.
func searchPlace(places []Place, start int64) (position int, taken bool) {
	return slices.BinarySearchFunc(places, start, func(p Place, start int64) int { return cmp.Compare(p.Start, start) })
}
