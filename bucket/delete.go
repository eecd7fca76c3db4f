package bucket

import (
	"context"
	"errors"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/erase"
	"github.com/timeblob/timeblob/index"
)

// DeleteOptions tune a deletion; nil means the defaults.
type DeleteOptions struct {
	// Wait is how long blobs stay after their entries were removed. Default one minute;
	// negative: none. A deletion waits once for every 100 000 entries, and once more before
	// it removes roll-ups.
	//
	// It is for questions that have read the entries and not the blobs yet, and should be
	// longer than the longest question. It also gives values that are on their way into the
	// index time to arrive: a collector relies on a blob without an entry for 30 s and one
	// Deadline. So a shorter Wait is for ranges to which no other process adds values.
	//
	// A request to the index that its sender gave up may land after Wait, up to
	// LevelOptions.Linger later. Its entry then has no blob, unless the index commits blobs
	// too: delete the range once more when Linger has passed. An entry that arrives while
	// blobs are deleted is removed, too.
	Wait time.Duration
	// Progress is called with what was deleted so far, by one goroutine at a time. If it
	// panics, the deletion goes on, and returns the *PanicError in the end. It must not
	// call Collector.Delete for the same tenant, which waits for this deletion.
	Progress func(Deleted)
}

// Deleted is what was deleted. Its fields are
//
//	Entries int // removed from the index
//	Blobs   int // deleted blobs, of entries and orphans
//	Orphans int // deleted blobs that no entry named
//	RollUps int // deleted roll-ups, those included that were replaced before; a few may have been gone
type Deleted = erase.Done

// DeleteFound is what a range holds. Its fields are
//
//	Entries     int
//	Bytes       int64     // of their blobs, as far as the lengths are known
//	First, Last time.Time // the instants of the first and the last entry
//	RollUps     int       // of the spans that touch the range
//	RollUpBytes int64     // of the roll-ups' blobs
type DeleteFound = erase.Found

// BlobsLeftError says that entries are removed and that their blobs may be left.
// Deleting the same range again deletes them where the blob store lists its
// keys. Its fields are
//
//	Tenant string
//	Keys   []string // of the blobs that may be left; no entry names them
//	Err    error
type BlobsLeftError = erase.LeftError

// CannotDeleteError says that the index or the blob store cannot delete. It
// is errors.ErrUnsupported. Its field says why:
//
//	What string
type CannotDeleteError = erase.UnsupportedError

// BlobDeleter is a blob store that deletes: a tiered.Store, or an authority by
// itself. Where it also lists keys, as tiered.Lister says, a deletion removes
// blobs that no entry names too. Its method is
//
//	// Delete removes the blobs of keys. A key without a blob is no error.
//	Delete(ctx context.Context, keys []string) error
type BlobDeleter = erase.Blobs

// roundEntries is how many entries are removed before their blobs are.
const roundEntries = 100_000

// Deleter deletes from an index and a blob store, without a collector. It is safe
// for any number of goroutines.
//
// A deletion removes entries first, and their blobs after a wait. A question that
// begins when Delete has returned finds nothing of it. A deletion may be
// interrupted and repeated. Until it is repeated, an entry of its range may have no
// blob, and questions about that entry fail. Collectors still deliver the values that
// they hold: stop them, or use their Delete. A collector that was killed may store
// once more, from its journal, what it stored a moment before.
type Deleter struct {
	writer *Writer
	blobs  BlobDeleter
}

// NewDeleter returns a Deleter. Its error is a *CannotDeleteError when the index
// is no index.Deleter.
func NewDeleter(idx index.Index, blobs BlobDeleter) (*Deleter, error) {
	d := &Deleter{NewWriter(idx), blobs}
	_, err := d.eraser(nil, nil)
	return d, err
}

func (d *Deleter) eraser(opts *DeleteOptions, told *callbacks) (*erase.Eraser, error) {
	return newEraser(d.writer, d.blobs, opts, told, time.Now)
}

func newEraser(w *Writer, blobs any, opts *DeleteOptions, told *callbacks, now func() time.Time) (*erase.Eraser, error) {
	o := DeleteOptions{}
	if opts != nil {
		o = *opts
	}
	orDefault(&o.Wait, time.Minute)
	return erase.New(w.index, blobs, erase.Options{Deleter: w, Spans: dropping{w}, Wait: o.Wait, Round: roundEntries, Progress: progress(told, o.Progress), Now: now})
}

// dropping keeps the roll-ups of what a deletion deletes in order.
type dropping struct{ w *Writer }

// Drop implements erase.Spans.
func (s dropping) Drop(ctx context.Context, tenant string, from, to int64) error {
	if s.w.protocol == nil {
		return nil
	}
	return finalError(s.w.protocol.Drop(ctx, tenant, from, to, s.w.timeout))
}

// Count implements erase.Spans.
func (s dropping) Count(ctx context.Context, tenant string, from, to int64) (rollUps int, bytes int64, err error) {
	if s.w.protocol == nil {
		return 0, 0, nil
	}
	return s.w.protocol.Count(ctx, tenant, from, to)
}

// Replaced implements erase.Spans.
func (s dropping) Replaced(ctx context.Context, tenant string, from, to int64) ([]string, error) {
	if s.w.protocol == nil {
		return nil, nil
	}
	return s.w.protocol.Replaced(ctx, tenant, from, to)
}

// Find counts what Delete would delete. It reads the range's entries, and the places
// of its roll-ups.
func (d *Deleter) Find(ctx context.Context, tenant string, from, to time.Time) (DeleteFound, error) {
	start, end, err := spanOf(tenant, from, to)
	if err != nil {
		return DeleteFound{}, err
	}
	e, err := d.eraser(nil, nil)
	if err != nil {
		return DeleteFound{}, err
	}
	return e.Find(ctx, tenant, start, end)
}

// Delete removes the tenant's entries with from ≤ Time < to and their blobs, and
// the blobs of the range that no entry names where the store lists its keys. A
// range of more than a year needs an index that is an index.Scanner or has its
// method under the name Entries.
//
// The roll-ups that hold deleted values are removed too; others are built again
// from what is left. Where retention has removed entries, and only a roll-up is
// left, a deletion takes the whole span or is a *FinalError.
//
// The error is a *RangeError, an *index.TenantError, a *CannotDeleteError, a
// *FinalError, the index's, or a *BlobsLeftError. Delete may be called again after
// any of the last two.
func (d *Deleter) Delete(ctx context.Context, tenant string, from, to time.Time, opts *DeleteOptions) (Deleted, error) {
	start, end, err := spanOf(tenant, from, to)
	if err != nil {
		return Deleted{}, err
	}
	var told callbacks
	e, err := d.eraser(opts, &told)
	if err != nil {
		return Deleted{}, err
	}
	done, err := e.Delete(ctx, tenant, start, end, nil)
	return done, told.or(err)
}

// DeleteTenant deletes all that a tenant has, as Delete does for a range.
func (d *Deleter) DeleteTenant(ctx context.Context, tenant string, opts *DeleteOptions) (Deleted, error) {
	return d.Delete(ctx, tenant, firstInstant, lastInstant, opts)
}

// Delete is [Deleter.Delete], and also withdraws the values that this collector
// holds: it ends the tenant's open tick, so that every value has an instant, and
// drops those in the range from the live window and from what is to be stored. A
// deletion that is refused with a *FinalError drops none.
// Values that are added while Delete runs may stay. Other collectors may still
// deliver what they hold. An AddOptions.ID stays known. Deletions of one tenant wait for
// each other. A *JournalError says that a crash may bring deleted values back; Delete may
// be called again then.
//
// A live window of more than eight ticks cannot lose single ones: a deletion that
// reaches into it empties it. A collector that is Alone then reads the rest from
// the store; At of another one holds only what comes after.
func (c *Collector[T]) Delete(ctx context.Context, tenant string, from, to time.Time, opts *DeleteOptions) (Deleted, error) {
	start, end, err := spanOf(tenant, from, to)
	if err != nil {
		return Deleted{}, err
	}
	var told callbacks
	e, err := newEraser(c.writer, c.blobs, opts, &told, c.opts.Now)
	if err != nil {
		return Deleted{}, err
	}
	free, err := c.deleting.Claim(ctx, tenant) // another deletion may still have to delete what it has withdrawn
	if err != nil {
		return Deleted{}, err
	}
	defer free()
	done, err := e.Delete(ctx, tenant, start, end, func(ctx context.Context) ([]index.Entry, error) {
		return c.withdraw(ctx, tenant, start, end)
	})
	c.past.past.Forget(tenant)
	if err == nil {
		err = c.syncJournal(ctx)
	}
	return done, told.or(err)
}

// DeleteTenant deletes all that a tenant has, as Delete does for a range.
func (c *Collector[T]) DeleteTenant(ctx context.Context, tenant string, opts *DeleteOptions) (Deleted, error) {
	return c.Delete(ctx, tenant, firstInstant, lastInstant, opts)
}

// withdraw takes a tenant's values of [from, to) out of memory. It waits for the
// attempts at them that are under way, and returns the entries that these may
// have stored.
func (c *Collector[T]) withdraw(ctx context.Context, tenant string, from, to int64) (stored []index.Entry, err error) {
	t := c.tenants.lookup(tenant)
	if t == nil {
		return nil, nil
	}
	held, err := t.withdraw(ctx, from, to)
	if err != nil {
		return nil, err
	}
	defer c.outbox.Recheck() // a flush may wait for these values
	for _, p := range held {
		entries, err := c.withdrawOne(ctx, p)
		if err != nil {
			return nil, err
		}
		stored = append(stored, entries...)
	}
	return stored, nil
}

// withdrawOne ends a value that a deletion takes. It returns the entries that attempts at the
// value may put, or have put. It takes no turn of a value that is over: such a value does not
// change any more, and Failed may run under its turn for long.
func (c *Collector[T]) withdrawOne(ctx context.Context, p *pending[T]) ([]index.Entry, error) {
	if p.finished() {
		return p.possible(), c.endUnstored(ctx, p)
	}
	if err := p.turn.LockContext(ctx); err != nil {
		return nil, err
	}
	defer p.turn.Unlock()
	return p.possible(), c.abandon(ctx, p)
}

// abandon ends a value that was withdrawn. Questions that began before may still read it.
// An error is ctx's: then the value must be abandoned again. The caller has the turn.
func (c *Collector[T]) abandon(ctx context.Context, p *pending[T]) error {
	if p.finished() {
		return nil
	}
	if p.owner.readers.Load() > 0 {
		c.keepForReaders(p)
	}
	if err := c.endUnstored(ctx, p); err != nil {
		return err
	}
	c.release(p)
	return nil
}

// liveFrom returns the instant before which the collector's live window of a
// tenant has nothing in memory.
func (c *Collector[T]) liveFrom(tenant string) int64 {
	if t := c.tenants.lookup(tenant); t != nil {
		return t.liveFrom()
	}
	return c.shared.started.Load()
}

// gatherAndAnswer answers from what gather returns. Where blobs are missing it gathers once more: when
// their entries are gone too, they were deleted meanwhile, and it answers
// without them.
func (q *Quantizer[T]) gatherAndAnswer(ctx context.Context, gather func() (gathered[T], error)) (a Answer[T], err error) {
	g, err := gather()
	if err != nil || len(g.question.Series) == 0 {
		return a, err
	}
	a, err = q.merged(ctx, &g)
	gone := withoutBlob(&a, err)
	if len(gone) == 0 {
		return a, err
	}
	again, failed := gather()
	if failed != nil || again.names(gone) {
		return a, err
	}
	return q.merged(ctx, &again)
}

// withoutBlob returns the keys that an answer or its error says the store does
// not have.
func withoutBlob[T any](a *Answer[T], err error) map[string]bool {
	gone := make(map[string]bool)
	for _, m := range a.Missing {
		if errors.Is(m.Err, ErrNoBlob) {
			gone[m.Key] = true
		}
	}
	if missing, ok := errors.AsType[*MissingError](err); ok {
		for _, key := range missing.Keys() {
			gone[key] = true
		}
	}
	return gone
}

// names reports whether the index has an entry of one of the keys.
func (g *gathered[T]) names(keys map[string]bool) bool {
	for _, s := range g.question.Series {
		if s.Names(keys) {
			return true
		}
	}
	return false
}

// liveFrom returns the instant before which the live window has nothing in
// memory, because the collector began or a deletion emptied it then.
func (t *tenant[T]) liveFrom() int64 {
	return max(t.shared.started.Load(), t.restarted.Load())
}
