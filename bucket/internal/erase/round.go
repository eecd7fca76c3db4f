package erase

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/pause"
)

const (
	// rowsAtOnce is how many rows are changed, read or listed at a time.
	rowsAtOnce = 16
	// maxKeys is how many blobs are deleted with one call.
	maxKeys = 1000
)

// run is one deletion.
type run struct {
	*Eraser
	tenant string
	from   int64
	to     int64
	long   bool
	listed int64         // all instants of the range before it were listed
	more   []index.Entry // to be removed with the first round
	anchor []index.Entry // the first entry of a long range, which goes last
	notes  []index.Place // of what is deleted, to be forgotten in the end

	batch   []index.Entry      // of the round
	last    int64              // the last entry's instant
	some    bool               // there was an entry
	pending map[int64]*rowKeys // by hour: blobs to delete in this round
	done    Done
}

// rowKeys are keys of one row's blobs.
type rowKeys struct {
	removed []string // of entries
	orphans []string // of no entry, as far as is known
}

// round removes the entries of the batch, and then their blobs and those
// without an entry from where the last round ended to the instant end.
func (r *run) round(ctx context.Context, end int64) error {
	r.pending = make(map[int64]*rowKeys)
	if err := r.removeEntries(ctx); err != nil {
		return err
	}
	if err := r.list(ctx, end); err != nil {
		return err
	}
	if len(r.pending) == 0 {
		return ctx.Err()
	}
	if err := pause.For(ctx, r.opts.Wait); err != nil {
		return err
	}
	if err := r.spare(ctx); err != nil {
		return err
	}
	deleted := maps.Clone(r.pending)
	if err := r.deleteBlobs(ctx); err != nil {
		return err
	}
	return r.removeLate(ctx, deleted)
}

// at returns the keys of an hour.
func (r *run) at(hour int64) *rowKeys {
	k := r.pending[hour]
	if k == nil {
		k = new(rowKeys)
		r.pending[hour] = k
	}
	return k
}

// removeEntries removes the batch, and what it was told to remove beside it.
func (r *run) removeEntries(ctx context.Context) error {
	batch, more, n := r.batch, r.more, r.done.Entries
	r.batch, r.more = nil, nil
	if err := r.remove(ctx, more); err != nil {
		return err
	}
	r.done.Entries = n // nobody knows whether those were in the index
	return r.remove(ctx, batch)
}

// remove removes entries, and notes the keys of their blobs.
func (r *run) remove(ctx context.Context, entries []index.Entry) error {
	rows := make(map[index.Row][]index.Entry)
	for _, e := range entries {
		row := index.RowAt(r.tenant, e.Time)
		rows[row] = append(rows[row], e)
	}
	var mu sync.Mutex // guards what was done
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(rowsAtOnce)
	for row, entries := range rows {
		g.Go(func() error {
			if err := r.deleter.Delete(running, row, entries); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			keys := r.at(row.Hour)
			for _, e := range entries {
				keys.removed = append(keys.removed, e.Key)
			}
			r.done.Entries += len(entries)
			r.report()
			return nil
		})
	}
	return g.Wait()
}

func (r *run) report() {
	if r.opts.Progress != nil {
		r.opts.Progress(r.done)
	}
}

// list notes the keys of the blobs from where the last listing ended to the
// instant end, where the store can list.
func (r *run) list(ctx context.Context, end int64) error {
	from, blobs := r.listed, r.blobs
	l, ok := blobs.(lister)
	if !ok || from >= end {
		return nil
	}
	var mu sync.Mutex // guards pending
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(rowsAtOnce)
	for row := range index.Rows(r.tenant, from, end) {
		if running.Err() != nil {
			break
		}
		g.Go(func() error {
			keys, err := listRow(running, l, row, max(from, row.Start()), min(end, row.End()))
			keys = slices.DeleteFunc(keys, r.isAnchor)
			mu.Lock()
			defer mu.Unlock()
			if len(keys) > 0 {
				r.at(row.Hour).add(keys)
			}
			return err
		})
	}
	err := g.Wait()
	if errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	if err == nil {
		err, r.listed = ctx.Err(), end
	}
	return err
}

// isAnchor reports whether a key is the first entry's, which is still there.
func (r *run) isAnchor(key string) bool {
	return slices.ContainsFunc(r.anchor, func(e index.Entry) bool { return e.Key == key })
}

// add notes keys that were listed.
func (k *rowKeys) add(keys []string) {
	known := make(map[string]bool, len(k.removed))
	for _, key := range k.removed {
		known[key] = true
	}
	for _, key := range keys {
		if !known[key] {
			k.orphans = append(k.orphans, key)
		}
	}
}

// listRow returns the keys of a row's blobs of [from, to).
func listRow(ctx context.Context, l lister, row index.Row, from, to int64) (keys []string, err error) {
	for key, err := range l.List(ctx, row.BlobKeyPrefix(), from, to) {
		if err != nil {
			return keys, err
		}
		if t, err := index.ParseBlobKey(key); err == nil && t >= from && t < to {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// spare takes the keys out of the round that entries name by now. An entry that was
// removed and is there again came late, since no key is used twice: it goes once more.
func (r *run) spare(ctx context.Context) error {
	return r.readAgain(ctx, r.pending, func(ctx context.Context, row index.Row, entries []index.Entry, keys *rowKeys) error {
		named := make(map[string]bool, len(entries))
		for _, e := range entries {
			named[e.Key] = true
		}
		keys.orphans = slices.DeleteFunc(keys.orphans, func(key string) bool { return named[key] })
		_, err := r.removeAgain(ctx, row, entries, keys.removed)
		return err
	})
}

// removeLate removes the entries that came after spare has read the rows, and whose blobs
// are deleted. Their writers may have stored the blobs again, so these are deleted too.
func (r *run) removeLate(ctx context.Context, deleted map[int64]*rowKeys) error {
	var mu sync.Mutex // guards pending
	return r.readAgain(ctx, deleted, func(ctx context.Context, row index.Row, entries []index.Entry, keys *rowKeys) error {
		late, err := r.removeAgain(ctx, row, entries, slices.Concat(keys.removed, keys.orphans))
		if err != nil || len(late) == 0 {
			return err
		}
		if err = r.blobs.Delete(ctx, late); err != nil {
			mu.Lock()
			defer mu.Unlock()
			r.pending[row.Hour] = &rowKeys{removed: late} // is left
		}
		return err
	})
}

// readAgain reads the rows of keys, and calls then with each row that has entries.
func (r *run) readAgain(ctx context.Context, rows map[int64]*rowKeys, then func(context.Context, index.Row, []index.Entry, *rowKeys) error) error {
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(rowsAtOnce)
	for hour, keys := range rows {
		g.Go(func() error {
			row := index.Row{Tenant: r.tenant, Hour: hour}
			entries, err := r.query(running, row, math.MinInt64, math.MaxInt64)
			if err != nil || len(entries) == 0 {
				return err
			}
			return then(running, row, entries, keys)
		})
	}
	return g.Wait()
}

// removeAgain removes the entries of a row that have removed keys, and returns their keys.
func (r *run) removeAgain(ctx context.Context, row index.Row, entries []index.Entry, removed []string) (late []string, err error) {
	gone := make(map[string]bool, len(removed))
	for _, key := range removed {
		gone[key] = true
	}
	again := slices.DeleteFunc(slices.Clone(entries), func(e index.Entry) bool { return !gone[e.Key] })
	if len(again) == 0 {
		return nil, nil
	}
	for _, e := range again {
		late = append(late, e.Key)
	}
	return late, r.deleter.Delete(ctx, row, again)
}

// deleteBlobs deletes the round's blobs.
func (r *run) deleteBlobs(ctx context.Context) error {
	for hour, keys := range r.pending {
		all := slices.Concat(keys.removed, keys.orphans)
		for chunk := range slices.Chunk(all, maxKeys) {
			if err := r.blobs.Delete(ctx, chunk); err != nil {
				return err
			}
			r.done.Blobs += len(chunk)
			r.report()
		}
		r.done.Orphans += len(keys.orphans)
		delete(r.pending, hour)
	}
	return nil
}

// left returns the keys of the blobs whose entries are gone and that were not
// deleted.
func (r *run) left() (keys []string) {
	for _, k := range r.pending {
		keys = append(keys, k.removed...)
		keys = append(keys, k.orphans...)
	}
	return keys
}
