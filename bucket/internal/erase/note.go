package erase

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/timeblob/timeblob/index"
)

// notesLevel is the level of the places that hold notes. It is no length of a span,
// so nobody takes a note for a roll-up's place. Frozen.
const notesLevel = -1

// A note is a place at the instant of an entry. Its state is the key of the entry's
// blob, and empty once the blob is deleted. Frozen.

// places returns where the index keeps notes, and the set of the tenant's; nil where
// it keeps none.
func (r *run) places() (index.Places, index.PlaceSet) {
	places, ok := r.index.(index.Places)
	if !ok || !r.long {
		return nil, index.PlaceSet{}
	}
	return places, index.PlaceSet{Tenant: r.tenant, Level: notesLevel}
}

// noted has the deletion remove what an earlier one has noted and may not have
// deleted.
func (r *run) noted(ctx context.Context) error {
	places, set := r.places()
	if places == nil {
		return nil
	}
	found, err := places.Places(ctx, set, r.from, r.to)
	if err != nil {
		return fmt.Errorf("read the notes of earlier deletions: %w", err)
	}
	for _, p := range found {
		if key := string(p.State); key != "" {
			r.notes = append(r.notes, p)
			r.more = append(r.more, index.Entry{Time: p.Start, Key: key})
		}
	}
	return nil
}

// note notes the entry of a long range that goes last: once it is gone, nothing else
// tells a later deletion where to look for its blob.
func (r *run) note(ctx context.Context) error {
	places, set := r.places()
	if places == nil || len(r.anchor) == 0 {
		return nil
	}
	e := r.anchor[0]
	found, err := places.Places(ctx, set, e.Time, e.Time+1)
	if err != nil {
		return fmt.Errorf("note the last entry: %w", err)
	}
	next, old := index.Place{Start: e.Time, ID: rand.Text(), State: []byte(e.Key)}, ""
	if len(found) > 0 {
		old = found[0].ID
	}
	swapped, err := places.SwapPlace(ctx, set, old, next)
	if err == nil && !swapped {
		err = fmt.Errorf("another deletion of tenant %q is under way", r.tenant)
	}
	if err != nil {
		return fmt.Errorf("note the last entry: %w", err)
	}
	r.notes = append(r.notes, next)
	return nil
}

// forget empties the notes of entries whose blobs are deleted. A note that has
// changed is another deletion's.
func (r *run) forget(ctx context.Context) error {
	places, set := r.places()
	for _, p := range r.notes {
		next := index.Place{Start: p.Start, ID: rand.Text(), Expires: r.opts.Now().Unix()}
		if _, err := places.SwapPlace(ctx, set, p.ID, next); err != nil {
			return fmt.Errorf("remove the note of a deletion: %w", err)
		}
	}
	return nil
}
