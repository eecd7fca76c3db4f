package erase

import (
	"context"
	"fmt"
	"slices"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/pause"
)

// More returns further entries to remove. They may lie outside of the range or not be
// there at all.
type More func(ctx context.Context) ([]index.Entry, error)

// Delete removes a range's entries and blobs. It calls more, unless that is nil,
// once it is certain that the range may be deleted.
func (e *Eraser) Delete(ctx context.Context, tenant string, from, to int64, more More) (Done, error) {
	r := &run{Eraser: e, tenant: tenant, from: from, to: to, long: long(from, to), listed: from}
	err := r.wholly(ctx, more)
	if err == nil {
		return r.done, nil
	}
	if left := r.left(); len(left) > 0 {
		return r.done, &LeftError{tenant, left, err}
	}
	return r.done, fmt.Errorf("delete values of tenant %q: %w", tenant, err)
}

// wholly deletes the values of the range, and the roll-ups that hold them.
func (r *run) wholly(ctx context.Context, more More) (err error) {
	if r.opts.Spans != nil {
		if err := r.opts.Spans.Drop(ctx, r.tenant, r.from, r.to); err != nil {
			return err
		}
	}
	if more != nil {
		if r.more, err = more(ctx); err != nil {
			return err
		}
	}
	if err := r.noted(ctx); err != nil {
		return err
	}
	if err := r.all(ctx); err != nil {
		return err
	}
	return r.rollUps(ctx)
}

// rollUps deletes the roll-ups that nobody reads any more after a wait.
func (r *run) rollUps(ctx context.Context) error {
	if r.opts.Spans == nil {
		return nil
	}
	keys, err := r.opts.Spans.Replaced(ctx, r.tenant, r.from, r.to)
	if err != nil || len(keys) == 0 {
		return err
	}
	if err := pause.For(ctx, r.opts.Wait); err != nil {
		return err
	}
	for chunk := range slices.Chunk(keys, maxKeys) {
		if err := r.blobs.Delete(ctx, chunk); err != nil {
			return err
		}
		r.done.RollUps += len(chunk)
		r.report()
	}
	return nil
}

// all deletes round by round.
func (r *run) all(ctx context.Context) error {
	for entry, err := range r.entries(ctx, r.tenant, r.from, r.to) {
		if err != nil {
			return err
		}
		if !r.some && r.long {
			r.anchor, r.listed = []index.Entry{entry}, max(r.from, index.RowAt(r.tenant, entry.Time).Start())
		} else {
			r.batch = append(r.batch, entry)
		}
		r.some, r.last = true, entry.Time
		if len(r.batch) >= r.opts.Round {
			if err := r.round(ctx, entry.Time+1); err != nil {
				return err
			}
		}
	}
	if err := r.round(ctx, r.end()); err != nil {
		return err
	}
	if err := r.note(ctx); err != nil {
		return err
	}
	r.batch, r.anchor = r.anchor, nil
	if err := r.round(ctx, r.listed); err != nil {
		return err
	}
	return r.forget(ctx)
}

// end returns where the listing of the range ends: a long range is not listed
// beyond its last entry and the present, and not at all without an entry.
func (r *run) end() int64 {
	if !r.long {
		return r.to
	}
	if !r.some {
		return r.listed
	}
	now := index.RowAt("", r.opts.Now().UnixNano()).End()
	return min(r.to, max(now, r.last+1))
}
