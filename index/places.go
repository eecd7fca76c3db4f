package index

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	// Expires is when the place becomes empty again, in Unix seconds, as
	// DynamoDB's TTL counts them; 0 means never. From then on Places does not
	// return it, and SwapPlace takes it for empty.
	Expires int64
}

// Blob returns the key of the blob that goes with the place: its state's field
// key, where the state is JSON that has one, and otherwise "". A store that holds
// blobs too, such as local, removes that blob together with the expired place. Beside
// any other index a rule of the blob store must remove it, such as a lifecycle rule of
// S3 for RollUpPrefix.
func (p Place) Blob() string {
	var state struct{ Key string }
	if json.Unmarshal(p.State, &state) != nil {
		return ""
	}
	return state.Key
}

// PlaceSet names the places of one tenant and one level. A level is named by
// the length of its spans.
type PlaceSet struct {
	Tenant string
	Level  time.Duration // 0 is the settings of all levels, whose one place starts at 0
}

// Places is an index that keeps states of spans beside its entries, and can
// replace one on condition that it is unchanged. An index without conditional
// writes must not offer it. indextest.RunPlaces checks what is said here.
//
// Once the place at SettingsSet is written, Put and Commit of the index must
// refuse what CheckPut refuses, and Delete what CheckDelete does, so that no
// writer goes past the protocol.
type Places interface {
	// Places returns the places of a set with from ≤ Start < to that are not
	// empty, in ascending order of Start. The read is strongly consistent: it
	// sees every SwapPlace that returned before it began.
	Places(ctx context.Context, set PlaceSet, from, to int64) ([]Place, error)

	// SwapPlace writes next, if the ID of the place at next.Start is still
	// old: "" for a place that is empty. It returns false and no error when it
	// is not. next.ID must not be empty, and must never have been used before.
	// When SwapPlace returns true, the write survives a crash of the process,
	// as an entry does after Index.Put. When it returns an error the write may
	// have taken effect, or may still do so.
	SwapPlace(ctx context.Context, set PlaceSet, old string, next Place) (bool, error)

	// StoreTime returns the time of the store that orders writes, as well as
	// this process knows it: its own clock, corrected by the last response.
	// It returns the zero time as long as no response told it.
	StoreTime() time.Time
}

// SettingsSet is the place of the settings of all levels. Its state, at start
// 0, is JSON with at least these fields, in nanoseconds: lateness, skew and
// linger. Frozen.
var SettingsSet = PlaceSet{}

// ErrLevels says that an entry was put late, or deleted, by a writer that does
// not keep the rules of levels, so that a stored roll-up might differ from its
// entries. Such a writer uses the index beneath package bucket, or wraps it and
// does not pass Places on.
var ErrLevels = errors.New("the index has levels: late entries and deletions must go through package bucket, over an index that offers index.Places")

// Waiter is an index whose store removes old entries only before the instant of
// Removable, where the settings of levels say that it waits.
type Waiter interface {
	Places
	// Waits reports whether the store does so.
	Waits() bool
}

// Removable returns the instant, Unix nanoseconds, before which retention may remove
// entries, from the state at SettingsSet. Limited is false where the settings, or an
// index without settings, do not limit what is removed. Entries before it stand in
// roll-ups.
func Removable(settings []byte) (before int64, limited bool, err error) {
	if settings == nil {
		return 0, false, nil
	}
	var s struct {
		Waits bool
		Gone  int64
	}
	if err := json.Unmarshal(settings, &s); err != nil {
		return 0, true, fmt.Errorf("settings of levels: %w", err)
	}
	return s.Gone, s.Waits, nil
}

type holding struct{}

// Holding returns a context that tells an index that the sender of a Put, a
// Commit or a Delete keeps the rules of levels. Only package bucket needs it.
func Holding(ctx context.Context) context.Context {
	if ctx.Value(holding{}) != nil {
		return ctx
	}
	return context.WithValue(ctx, holding{}, true)
}

// Holds reports whether the context's sender keeps the rules of levels.
func Holds(ctx context.Context) bool { return ctx.Value(holding{}) != nil }

// unbounded is how long a put without a deadline may take.
const unbounded = time.Minute

// CheckPut returns ErrLevels for the put of an entry at t, Unix nanoseconds,
// that must not be sent as it is. An index calls it in Put and Commit with the state at
// SettingsSet, nil where there is none, and its time. It does so before it writes, and
// before it looks whether the instant is taken: ErrLevels comes before ErrExists. With a
// context for which Holds is true, CheckPut returns nil, and the index need not read
// the state.
func CheckPut(ctx context.Context, settings []byte, t int64, now time.Time) error {
	if settings == nil || Holds(ctx) {
		return nil
	}
	var s struct{ Lateness, Skew, Linger int64 }
	if err := json.Unmarshal(settings, &s); err != nil {
		return fmt.Errorf("settings of levels: %w", err)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = now.Add(unbounded)
	}
	if deadline.UnixNano() > t+s.Lateness-s.Linger-2*s.Skew {
		return ErrLevels
	}
	return nil
}

// CheckDelete is CheckPut for a deletion.
func CheckDelete(ctx context.Context, settings []byte) error {
	if settings == nil || Holds(ctx) {
		return nil
	}
	return ErrLevels
}

// Gone reports whether a place has expired at a time, and so is empty.
func (p Place) Gone(now time.Time) bool { return p.Expires != 0 && p.Expires <= now.Unix() }
