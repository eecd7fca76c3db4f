package index

import (
	"context"
	"time"
)

// Place is where an index keeps the state of one span of a level: one slice
// of time whose merge may be stored as one blob. The protocol of roll-ups decides
// what a state means; an index keeps its bytes.
type Place struct {
	Start int64 // the span's first instant, Unix nanoseconds
	// ID differs after every write of the place. It is empty as long as
	// nothing was ever written.
	ID string
	// State is at most 1 kB.
	State []byte
	// Expires is when the index may remove the place, in Unix seconds, as
	// DynamoDB's TTL counts them; 0 means never.
	Expires int64
}

// PlaceSet names the places of one tenant and one level. A level is named by
// the length of its spans.
type PlaceSet struct {
	Tenant string
	Level  time.Duration // 0 is the settings of all levels, whose one place starts at 0
}

// Places is an index that keeps states of spans beside its entries, and can
// replace one on condition that it is unchanged. An index without conditional
// writes must not offer it. indextest.RunPlaces checks what is said here. Only
// the protocol of roll-ups uses places, and no collector or question uses that
// protocol yet.
type Places interface {
	// Places returns the places of a set with from ≤ Start < to that are not
	// empty, in ascending order of Start. The read is strongly consistent: it
	// sees every SwapPlace that returned before it began.
	Places(ctx context.Context, set PlaceSet, from, to int64) ([]Place, error)

	// SwapPlace writes next, if the ID of the place at next.Start is still
	// old: "" for a place that is empty. It returns false and no error when it
	// is not. next.ID must not be empty, and must never have been used before.
	// When SwapPlace returns an error the write may have taken effect, or may
	// still do so.
	SwapPlace(ctx context.Context, set PlaceSet, old string, next Place) (bool, error)

	// StoreTime returns the time of the store that orders writes, as well as
	// this process knows it: its own clock, corrected by the last response.
	// It returns the zero time as long as no response told it.
	StoreTime() time.Time
}
