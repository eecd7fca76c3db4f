package bucket

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket/internal/record"
	"github.com/timeblob/timeblob/bucket/internal/unsynced"
)

// Journal keeps records until they are done; journal.Journal is one. It is safe
// for any number of goroutines.
//
// A collector writes a record of each value before Add returns, and one of each
// entry, with its instant and key, before it first puts the blob. When the entry
// is in the index, all of them are done.
type Journal interface {
	// Append writes a record and returns its number, above 0, when a crash of
	// the process cannot lose it. The bytes are not changed afterwards. After
	// an error the record must not be found by a later Replay, unless ctx
	// ended. A record whose blob is nil should find room when others do not: it
	// is what lets others become done. An empty blob that is not nil is a value.
	Append(ctx context.Context, kind byte, meta, blob []byte) (id uint64, err error)
	// Read returns a record that is not done. An error that is fs.ErrNotExist, or has a
	// method Corrupt that returns true, says that no later Read will find the record.
	Read(id uint64) (kind byte, meta, blob []byte, err error)
	// End says that records are done, all of one call together. After a crash the
	// last ones of a long call may be undone, and the first ones not. It does not
	// wait. Numbers that are unknown mean nothing.
	End(ids ...uint64)
}

// Syncer is a journal that makes records done for good. A deletion waits for it: a crash
// would bring back what was deleted.
type Syncer interface {
	// Sync returns nil when no crash of the process can undo the calls of End that
	// have returned before.
	Sync(ctx context.Context) error
}

// Replayer is a journal that tells what it holds.
type Replayer interface {
	// Replay calls visit for every record, in the order of their numbers, and
	// returns its first error. It may include records that are done: the records of
	// the last window let the collector recognise repeated ids.
	Replay(visit func(id uint64, kind byte, meta, blob []byte, done bool) error) error
}

// record writes a value that is being added to the journal.
func (c *Collector[T]) record(ctx context.Context, tenant string, in *input[T]) error {
	bytes := in.blob
	if bytes == nil {
		var err error
		if bytes, err = c.user.encode(in.value); err != nil {
			return &EncodeError{Tenant: tenant, Time: c.opts.Now(), Err: err}
		}
		if size := int64(len(bytes)); size > c.opts.MaxBlob {
			return &TooLargeError{Tenant: tenant, Size: size, Limit: c.opts.MaxBlob}
		}
	}
	if bytes == nil {
		bytes = []byte{} // the journal takes a record without a blob for a note
	}
	a := record.Arrived{Tenant: tenant, Time: c.now(), HasAt: in.past, At: in.at, HasID: in.hasID, ID: in.id}
	id, err := c.append(ctx, record.KindArrived, a.Encode(), bytes)
	c.tellJournal(err)
	if err == nil {
		c.unsynced.Note(int64(len(bytes)))
	} else {
		c.unsynced.Hurry() // the journal may be full of what only waits for a sync
		c.metrics.refused.Inc()
	}
	in.record, in.recorded = id, a.Time
	return err
}

// calm is for how long the journal must have refused nothing before it is said to take
// values again: a journal that is nearly full takes some and refuses others.
const calm = time.Second

// tellJournal logs that the journal began to refuse values, and that it takes them again.
func (c *Collector[T]) tellJournal(err error) {
	failed, refuses := errors.AsType[*JournalError](err)
	switch {
	case refuses:
		if c.lastRefused.Swap(c.now()) == 0 {
			c.opts.Logger.Warn("the journal takes no values, so they are refused", "err", failed.Err)
		}
	case err == nil:
		if last := c.lastRefused.Load(); last != 0 && c.now()-last > int64(calm) && c.lastRefused.CompareAndSwap(last, 0) {
			c.opts.Logger.Info("the journal takes values again")
		}
	}
}

// append appends to the journal. The error is the context's or a *JournalError.
func (c *Collector[T]) append(ctx context.Context, kind byte, meta, blob []byte) (id uint64, err error) {
	err = c.askJournal(ctx, func(ctx context.Context) (err error) {
		id, err = c.opts.Journal.Append(ctx, kind, meta, blob)
		return err
	})
	if err != nil {
		return 0, err
	}
	return id, nil
}

// askJournal has the journal do something under the deadline. The error is the context's or a
// *JournalError.
func (c *Collector[T]) askJournal(ctx context.Context, do func(context.Context) error) error {
	asking, cancel := context.WithTimeout(ctx, c.opts.Deadline)
	defer cancel()
	err := do(asking)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case asking.Err() != nil:
		err = fmt.Errorf("it does not answer within %v", c.opts.Deadline)
	}
	return &JournalError{Err: err}
}

// forgetRecord ends the record of a value that was not added after all.
func (c *Collector[T]) forgetRecord(in *input[T]) {
	if in.record != 0 && !in.taken {
		c.opts.Journal.End(in.record)
	}
}

// note fixes a value's instant and key in the journal, before the first put. A
// value whose blob has come out differently since gets another key.
func (c *Collector[T]) note(ctx context.Context, p *pending[T]) error {
	noted := p.before().noted
	if len(p.records) == 0 || noted.Key == p.entry.Key && noted.Sum == p.entry.Sum {
		return nil
	}
	if p.differs() {
		p.owner.renew(p)
	}
	id, err := c.writeSealed(ctx, p)
	if err != nil {
		return err
	}
	left := p.left()
	left.seals, left.noted = append(left.seals, id), blob.Ref{Key: p.entry.Key, Sum: p.entry.Sum}
	return nil
}

// writeSealed writes a sealed record of a value: its instant, its key and the records that it is merged of.
func (c *Collector[T]) writeSealed(ctx context.Context, p *pending[T]) (id uint64, err error) {
	e := p.entry
	s := record.Sealed{Tenant: p.owner.id, Time: e.Time, Key: e.Key, Sum: e.Sum, Members: p.records}
	return c.append(ctx, record.KindSealed, s.Encode(), nil)
}

// keepForReaders brings a value whose records end back to memory if it rests in the
// journal. It is for questions that read the index before the value's entry was there.
func (c *Collector[T]) keepForReaders(p *pending[T]) {
	if !p.value.isResting() {
		return
	}
	if err := c.lazies.load(p.value, p.records); err != nil {
		c.opts.Logger.Warn("questions under way cannot read a value that was stored or deleted meanwhile", "tenant", p.owner.id, "err", err)
	}
}

// endRecords says that a value no longer needs its records. Its sealed records, seals, come
// last: if a crash leaves the end of the list undone, they tell the next process which entry
// these records belong to.
func (c *Collector[T]) endRecords(p *pending[T], seals []uint64) {
	if len(p.records) > 0 {
		c.opts.Journal.End(slices.Concat(p.records, seals)...)
	}
	p.owner.leaving.remove(p)
}

// endUnstored ends the records of a value that was deleted or given up. Where no sealed record
// names them, one does first: otherwise the next process would take them for records of values
// that Add took back, and would forget their ids. If ctx ends before, the records do not end,
// and the error is ctx's. The value may be over, and several goroutines may do this for it at
// a time: its trail does not change.
func (c *Collector[T]) endUnstored(ctx context.Context, p *pending[T]) error {
	if !p.owner.leaving.has(p) { // its records have ended
		return nil
	}
	seals := p.before().seals
	if len(p.records) > 0 && len(seals) == 0 {
		id, err := c.writeSealed(ctx, p)
		switch {
		case err == nil:
			seals = []uint64{id}
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			c.opts.Logger.Warn("ids of values that were deleted or given up may be forgotten at a restart", "tenant", p.owner.id, "err", err)
		}
	}
	c.endRecords(p, seals)
	return nil
}

// syncJournal waits until no crash can undo that records are done.
func (c *Collector[T]) syncJournal(ctx context.Context) error {
	journal, ok := c.opts.Journal.(Syncer)
	if !ok {
		return nil
	}
	return c.askJournal(ctx, journal.Sync)
}

// findIndexed reports whether the index has a value already: an earlier process was
// storing it when it ended, or an attempt of this one seemed to fail, and the blob, which
// gets another key then, has come out differently since. If such an attempt takes effect
// later, the two keys have one instant, and the index takes one of them.
func (c *Collector[T]) findIndexed(ctx context.Context, p *pending[T]) (found bool, err error) {
	if !p.before().replayed && !(p.unsure() && p.differs()) {
		return false, nil
	}
	has, err := c.holder(ctx, p)
	if err != nil || has == self {
		return has == self, err
	}
	left := p.left()
	if left.replayed = false; left.part {
		at := p.entry.Time + int64(left.place)
		left.part, left.place = false, 0
		return false, p.owner.moveTo(p, at)
	}
	return false, nil
}

// splitRecords returns two values, each with half of a value's records.
// They are merged again from the journal. The error is a *JournalError of a record that
// is not lost.
func (c *Collector[T]) splitRecords(p *pending[T]) (halves []*pending[T], err error) {
	if err := c.lazies.wakeApart(p.value); err != nil { // its records will be gone before it leaves the live window
		return nil, err
	}
	n := len(p.records) / 2
	for i, records := range [][]uint64{p.records[:n], p.records[n:]} {
		half := newPending(p.owner, restingOn[T](records), 0)
		half.records, half.fresh = records, true
		half.name(p.entry.Time + int64(p.before().place) + int64(i*n)) // an instant for each part, so that later splits do not collide
		halves = append(halves, half)
	}
	left := p.left()
	c.opts.Journal.End(left.seals...)
	left.seals = nil // if p was deleted, another one is written
	return halves, nil
}

// replay takes over what an earlier process has left in the journal.
func (c *Collector[T]) replay() error {
	if c.opts.Journal == nil {
		return nil
	}
	if c.user.decoder == nil {
		return errors.New("collector: a journal needs a blob store with a method Decode")
	}
	journal, ok := c.opts.Journal.(Replayer)
	if !ok {
		return nil
	}
	var r record.Replay
	err := journal.Replay(func(id uint64, kind byte, meta, blob []byte, done bool) error {
		r.Visit(id, kind, meta, int64(len(blob)), done)
		return nil
	})
	if err != nil {
		return fmt.Errorf("collector: %w", &JournalError{Err: err})
	}
	todo := r.Resolve(record.Limits{Tick: int64(c.opts.Tick), Window: int64(c.opts.Window), Bytes: c.opts.tickLimit(), Now: c.now()})
	c.takeOver(&todo)
	return nil
}

// takeOver takes values and ids of an earlier process.
func (c *Collector[T]) takeOver(todo *record.Todo) {
	for _, err := range todo.Damage {
		c.metrics.failed.Inc()
		c.opts.Logger.Error("a value in the journal is lost", "err", err)
	}
	c.opts.Journal.End(todo.Ended...)
	for i := range todo.Values {
		c.tenants.adopt(todo.Values[i].Tenant).adopt(&todo.Values[i])
	}
	oldest := c.now() - int64(c.opts.Window)
	for i := range todo.IDs {
		if s := &todo.IDs[i]; s.Time > oldest {
			c.tenants.adopt(s.Tenant).remember(s)
		}
	}
	if n := len(todo.Values); n > 0 {
		c.opts.Logger.Info("values of an earlier process wait in the journal and are stored now", "values", n,
			"oldest", time.Unix(0, todo.Values[0].Time))
	}
}

// keepUntilSynced keeps a value that is committed, with its records, until the next sync. It
// returns an error when a sync has failed since the epoch in which the commit
// began.
func (c *Collector[T]) keepUntilSynced(p *pending[T], begun unsynced.Epoch) error {
	if !c.unsynced.Add(begun, p, int64(len(p.blob))) {
		return fmt.Errorf("tenant %q, key %s: %w", p.owner.id, p.entry.Key, errUnsynced)
	}
	c.budget.add(&p.owner.account, -p.owner.noteCommitted(p))
	c.metrics.values.Dec()
	return nil
}

var errUnsynced = errors.New("the store could not sync what was committed")

// syncAgain syncs what was committed, again and again until ctx ends.
func (c *Collector[T]) syncAgain(ctx context.Context) {
	if c.opts.Sync == nil {
		return
	}
	for c.unsynced.Wait(ctx) == nil {
		_ = c.syncNow(ctx) // it has logged the error, and the values wait in the outbox
	}
}

// syncNow has the values finished that were committed before, or has all that may be
// lost committed again.
func (c *Collector[T]) syncNow(ctx context.Context) error {
	syncing, cancel := context.WithTimeout(ctx, c.opts.Deadline)
	defer cancel()
	begun := time.Now()
	left, err := c.unsynced.Sync(syncing, c.opts.Sync)
	c.metrics.observe("Sync", err, time.Since(begun))
	if err != nil && ctx.Err() == nil {
		c.opts.Logger.Warn("the store could not sync; what was committed is committed again", "values", len(left), "err", err)
	}
	for _, p := range left {
		c.synced(p, err)
	}
	return err
}

// synced puts a value that was committed back into the outbox: to be finished, or to be
// committed again where the sync failed.
func (c *Collector[T]) synced(p *pending[T], err error) {
	switch {
	case p.finished(): // deleted meanwhile
	case err == nil:
		p.synced.Store(true)
		c.outbox.Put(&p.owner.finishing, p)
	case p.turn.TryLock():
		c.lost(p, err)
	default: // the commit is just being noted, and waits for the tenant, where a merge may hang
		go func() { p.turn.Lock(); c.lost(p, err) }()
	}
}

// lost has a value committed again, and gives back its turn.
func (c *Collector[T]) lost(p *pending[T], err error) {
	defer p.turn.Unlock()
	if p.finished() {
		return
	}
	c.budget.add(&p.owner.account, p.noteLost(err))
	c.metrics.values.Inc()
	c.outbox.Put(&p.owner.sender, p)
}
