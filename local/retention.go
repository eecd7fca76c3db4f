package local

import (
	"bytes"
	"context"
	"errors"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/timeblob/timeblob/index"
)

// retain removes what is too old now, and every hour until Close. A fault, such as a
// damaged block or a full disk, does not keep the store from being opened.
func (db *DB) retain() {
	if db.opts.Retention == 0 {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	db.stop = stop
	db.sweepOrTell(ctx)
	begun := time.Now()
	jumps := newJumps(db.opts.Now, func() time.Duration { return time.Since(begun) })
	db.retention.Go(func() { db.retainHourly(ctx, jumps) })
}

// sweepOrTell is sweep, with its error in the log.
func (db *DB) sweepOrTell(ctx context.Context) {
	err := db.sweep(ctx)
	switch {
	case err == nil || ctx.Err() != nil || errors.Is(err, ErrClosed):
	case errors.Is(err, ErrReadOnly):
		db.opts.Logger.Warn("retention removes nothing while the store can only be read, next attempt in an hour", "dir", db.dir, "err", err.Error())
	default:
		db.opts.Logger.Error("retention failed, next attempt in an hour", "dir", db.dir, "err", err.Error())
	}
}

// retainHourly removes what is past its retention, each hour. When the clock was set ahead
// it waits once; a machine that sleeps each hour seems to set its clock each time.
func (db *DB) retainHourly(ctx context.Context, jumps *jumps) {
	ticker := time.NewTicker(time.Hour)
	defer ticker.Stop()
	waited := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if by := jumps.ahead(); by > time.Minute && !waited {
			waited = true
			db.opts.Logger.Warn("the clock was set ahead: retention removes nothing for an hour", "dir", db.dir, "by", by)
			continue
		}
		waited = false
		db.sweepOrTell(ctx)
	}
}

// jumps tells by how much a clock was set ahead.
type jumps struct {
	now     func() time.Time
	elapsed func() time.Duration // since any moment, whatever the clock shows

	shown time.Time     // at the last look
	since time.Duration // likewise
}

func newJumps(now func() time.Time, elapsed func() time.Duration) *jumps {
	return &jumps{now: now, elapsed: elapsed, shown: now().Round(0), since: elapsed()}
}

// ahead returns by how much the clock was set ahead since the last look. It is negative
// when the clock was set back.
func (j *jumps) ahead() time.Duration {
	shown, since := j.now().Round(0), j.elapsed() // Round strips the monotonic reading
	by := shown.Sub(j.shown) - (since - j.since)
	j.shown, j.since = shown, since
	return by
}

// sweep removes the hours that ended before now − Retention, as far as roll-ups that
// outlive them are there. Blobs go an hour
// after their entries, so that who has the entries still finds the blobs, and
// so does an entry that was put up to an hour after its key was made. Places go
// when they have expired. What cannot be read is an error, and keeps nothing else.
func (db *DB) sweep(ctx context.Context) error {
	hour := hourOf(db.opts.Now().Add(-db.opts.Retention))
	return db.read(ctx, func(e *engine) error {
		hour, err := e.removable(hour, db.opts.RollUpsFirst)
		if err != nil {
			return err
		}
		batch := e.pebble.NewBatch()
		if err = e.dropBefore(ctx, batch, entrySpace, hour); err != nil && batch.Empty() {
			return errors.Join(err, batch.Close()) // the entries stay, and so do their blobs
		}
		err = errors.Join(err,
			e.dropBefore(ctx, batch, blobSpace, hour-1),
			e.expirePlaces(ctx, batch, db.opts.Now()))
		if ctx.Err() != nil || batch.Empty() {
			return errors.Join(err, batch.Close())
		}
		if err := errors.Join(err, e.apply(batch)); err != nil { // without a log a crash may undo it; the next sweep removes the hours again
			return err
		}
		db.opts.Logger.Info("retention removed the hours before", "hour", time.Unix(hour*3600, 0).UTC(), "dir", db.dir)
		return nil
	})
}

// removable returns the hour before which entries may go. Where roll-ups outlive
// entries, these wait until builders have rolled them up, and an hour longer, so that
// every part of the process has learned that they go. First says that nothing goes
// as long as the settings say nothing about it.
func (e *engine) removable(hour int64, first bool) (int64, error) {
	settings, err := e.settings()
	if err != nil {
		return hour, err
	}
	before, limited, err := index.Removable(settings)
	switch {
	case limited:
		hour = min(hour, hourOf(time.Unix(0, before))-1)
	case first:
		hour = math.MinInt64 + 1
	}
	return hour, err
}

// expirePlaces adds the removal of the places that expired more than an hour ago
// to the batch, and of the blobs that go with them. Who has read such a place
// still finds its blob. It reads the places of each level up to the first block
// that holds none of them.
func (e *engine) expirePlaces(ctx context.Context, batch *pebble.Batch, now time.Time) error {
	before := now.Add(-time.Hour)
	return e.each(ctx, []byte{placeSpace}, []byte{placeSpace + 1}, func(it *pebble.Iterator) error {
		for more := it.First(); more && ctx.Err() == nil; {
			expired, lasting, err := e.expireBlock(batch, it, before)
			if err != nil {
				return err
			}
			if more = it.Valid(); more && expired == 0 && lasting > 0 {
				more = it.SeekGE(after(it.Key()[:1+8])) // the next level
			}
		}
		return ctx.Err()
	})
}

// expireBlock removes what expired from the block that an iterator is at, and
// moves behind it. It returns how many places expired, and how many will.
func (e *engine) expireBlock(batch *pebble.Batch, it *pebble.Iterator, before time.Time) (expired, lasting int, err error) {
	block := bytes.Clone(it.Key()[:1+8+8])
	for more := true; more && bytes.HasPrefix(it.Key(), block); more = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return expired, lasting, err
		}
		p, err := parsePlace(it.Key(), value)
		switch {
		case err != nil:
			return expired, lasting, err
		case p.Gone(before):
			expired++
			err = batch.Delete(it.Key(), nil)
			if key := p.Blob(); key != "" && err == nil {
				err = batch.Delete(blobKey(key), nil)
			}
		case p.Expires != 0:
			lasting++
		}
		if err != nil {
			return expired, lasting, err
		}
	}
	return expired, lasting, nil
}

// hourOf returns the hour that t is in, rounded down, over all of time.Time.
func hourOf(t time.Time) int64 {
	hour := t.Unix() / 3600
	if t.Unix()%3600 < 0 {
		hour--
	}
	return hour
}

// dropBefore adds the removal of a space's hours before hour to the batch,
// nothing when there are none: removals of nothing would pile up. It also removes
// hours that cannot be read.
func (e *engine) dropBefore(ctx context.Context, batch *pebble.Batch, space byte, hour int64) error {
	from, to := hourKey(space, math.MinInt64), hourKey(space, hour)
	return e.each(ctx, from, to, func(it *pebble.Iterator) error {
		if !it.First() && it.Error() == nil {
			return nil
		}
		return batch.DeleteRange(from, to, nil)
	})
}
