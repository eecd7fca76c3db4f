package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
)

const lockName = "LOCK"

// Journal keeps records in a directory until they are done. It is safe for any
// number of goroutines.
type Journal struct {
	dir      string
	opts     Options
	metrics  *metrics
	ledger   *ledger
	queue    *queue
	writer   *writer
	keeper   *keeper
	state    *state
	damage   *damages
	lock     io.Closer
	closing  sync.Once
	closeErr error

	writes  atomic.Bool            // state, writer and keeper are there, and Append writes
	waiting *waiting               // for the disk to take writes; nil when it did at the start
	gone    atomic.Bool            // a segment's file was removed by somebody else
	id      atomic.Pointer[string] // nil for none
	found   int64                  // bytes of all segments at Open, which may be more than MaxBytes
	whole   bool                   // Open could read all records
}

// Open opens the journal in a directory, which it creates, and reads all of
// it. It needs no room on the disk when the directory is a journal already. On a
// disk that takes no writes, because it is read-only or too full to make the
// directory, the journal is read-only at first. It takes records about a second
// after the disk takes writes.
// What could not be read is told by Damage and is no error. The error is a
// *LockedError when another process has the journal open, and a *VersionError
// when a newer program wrote it.
func Open(dir string, opts *Options) (*Journal, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	j := &Journal{dir: dir, opts: o, queue: newQueue()}
	if j.metrics, err = newMetrics(o.Registerer, o.Namespace); err != nil {
		return nil, fmt.Errorf("journal: metrics: %w", err)
	}
	j.damage = &damages{metrics: j.metrics}
	j.ledger = newLedger(j.metrics)
	if err := j.open(); err != nil {
		if j.lock != nil {
			err = errors.Join(err, j.lock.Close())
		}
		return nil, fmt.Errorf("journal: open %s: %w", dir, err)
	}
	j.metrics.limit.Add(float64(j.limit()))
	return j, nil
}

func (j *Journal) open() (err error) {
	if err := j.lockDirectory(); err != nil {
		return err
	}
	j.readID()
	read := j.opts
	read.ReadOnly = read.ReadOnly || j.waiting != nil
	r := &recovery{dir: j.dir, opts: &read, ledger: j.ledger, damage: j.damage, faults: j.metrics.fault}
	err = r.run()
	if j.waiting != nil && errors.Is(err, fs.ErrNotExist) {
		err = nil // there is no journal yet, and none can be made
	}
	if err != nil {
		closeAll(j.ledger.close())
		return err
	}
	j.ledger.begin(r.seq)
	j.found, _, _ = j.ledger.totals()
	switch {
	case j.waiting != nil:
		if r.wrong {
			why := errWrongName
			j.waiting.why.Store(&why)
		}
		go j.waiting.run(r)
	case !j.opts.ReadOnly:
		j.startWriting(r)
	}
	return nil
}

// startWriting lets the journal take records after those that were recovered.
func (j *Journal) startWriting(r *recovery) {
	j.makeID()
	j.state = &state{files: j.opts.files, name: filepath.Join(j.dir, stateName), faults: j.metrics.fault, stateValues: r.state}
	j.whole = !slices.ContainsFunc(j.damage.all(), func(d Damage) bool { return !d.Torn })
	j.writer = newWriter(j, r.seq, r.state.newest)
	j.keeper = newKeeper(j)
	j.writes.Store(true)
	go j.writer.run()
	go j.keeper.run()
}

// lockDirectory makes the directory and locks it. On a disk that takes no writes the
// journal is read-only until the disk takes them.
func (j *Journal) lockDirectory() (err error) {
	if !j.opts.ReadOnly {
		j.lock, err = j.lockToWrite()
		if !unwritable(err) {
			return err
		}
		j.waiting = newWaiting(j, err)
	}
	j.lock, err = j.opts.files.Lock(filepath.Join(j.dir, lockName), true)
	return err
}

// makeDirectory makes the journal's directory, and forces the name of a new one to the disk
// where the system can: a power failure must not take the whole journal.
func (j *Journal) makeDirectory() error {
	files := j.opts.files
	_, before := files.Names(j.dir)
	err := files.MkdirAll(j.dir)
	if err == nil && errors.Is(before, fs.ErrNotExist) {
		_ = files.SyncDir(filepath.Dir(j.dir))
	}
	return err
}

func (j *Journal) lockToWrite() (io.Closer, error) {
	if err := j.makeDirectory(); err != nil {
		return nil, err
	}
	return j.opts.files.Lock(filepath.Join(j.dir, lockName), false)
}

// unwritable reports whether an error says that a disk is full or read-only.
func unwritable(err error) bool {
	return errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// limit returns the bytes from which on records are refused.
func (j *Journal) limit() int64 { return j.opts.MaxBytes - j.opts.SegmentBytes }

// Append writes a record and returns its number when the record will survive
// what Options.Sync promises. The kind is the caller's, from 1 to 255. meta
// takes up to 16 MiB and a blob up to 1 GiB. Both may be empty, and both must
// never be changed afterwards.
//
// A record whose blob is nil may take half of the segment that is kept free for
// moving records, because such a record says what lets others become done. So it may
// when the journal was opened with less MaxBytes than it holds, and when files of the
// journal were removed. A blob that is empty and not nil is a value like any other.
//
// The error is a *FullError when the journal has no room, ErrClosed,
// ErrReadOnly, or what the disk said. The record is then not in the journal.
// After a fault of the disk Append fails at once for a second, and then tries
// the disk again. When ctx ends first, the record may be found by Replay after
// a restart, and only then.
func (j *Journal) Append(ctx context.Context, kind byte, meta, blob []byte) (id uint64, err error) {
	switch {
	case j.opts.ReadOnly:
		return 0, ErrReadOnly
	case !j.writes.Load():
		return 0, j.waiting.refusal()
	case j.gone.Load() && blob != nil: // other records let the values that wait become done
		return 0, errGone
	case kind == kindEnd:
		return 0, errors.New("journal: append: kind 0 is the journal's own")
	case len(meta) > maxMeta || len(blob) > maxBlob:
		return 0, fmt.Errorf("journal: append: %d and %d bytes are more than %d of meta or %d of blob", len(meta), len(blob), maxMeta, maxBlob)
	case ctx.Err() != nil:
		return 0, fmt.Errorf("journal: append: %w", context.Cause(ctx))
	}
	e := newEntry(kind, 0, meta, blob)
	limit := j.limit()
	if blob == nil {
		if j.found > limit {
			limit = j.found + j.opts.SegmentBytes // which the records that are moved take for a while
		}
		limit += j.opts.SegmentBytes / 2
	}
	if err := j.ledger.reserve(e.size, limit); err != nil {
		j.metrics.refused.Inc()
		j.keeper.kick()
		return 0, err
	}
	e.reserved = true
	if err := j.queue.add(e); err != nil {
		j.ledger.unreserve(e.size)
		return 0, fmt.Errorf("journal: append: %w", err)
	}
	if id, err = j.wait(ctx, e); err != nil {
		return 0, fmt.Errorf("journal: append: %w", err)
	}
	return id, nil
}

// wait returns when an entry is written or ctx ends.
func (j *Journal) wait(ctx context.Context, e *entry) (id uint64, err error) {
	select {
	case <-e.done:
	case <-ctx.Done():
		unwritten, written := j.queue.leave(e)
		if unwritten && e.reserved {
			j.ledger.unreserve(e.size)
		}
		if !written {
			return 0, context.Cause(ctx)
		}
	}
	return e.id, e.err
}

// Read returns a record that is not done, its checksum verified. The bytes are
// the caller's. It costs one read of the file. The error is a *NotFoundError,
// a *CorruptError, which Damage then tells too, ErrClosed, or what the disk said.
func (j *Journal) Read(id uint64) (kind byte, meta, blob []byte, err error) {
	for {
		p, err := j.ledger.place(id)
		if err != nil {
			return 0, nil, nil, err
		}
		kind, meta, blob, err = p.seg.read(p, id)
		if err == nil {
			return kind, meta, blob, nil
		}
		if j.isFinal(p, id, err) {
			return 0, nil, nil, err
		} // else it has moved meanwhile, or is done
	}
}

// isFinal reports whether a record that Read could not read stands where it was read. A
// record that is damaged is lost: Damage tells it, and the journal does not wait until it is
// done.
func (j *Journal) isFinal(p place, id uint64, err error) bool {
	if _, corrupt := errors.AsType[*CorruptError](err); !corrupt {
		now, unknown := j.ledger.place(id)
		return unknown == nil && now == p
	}
	if !j.ledger.lost(id, p, err) {
		return false
	}
	j.damage.add(Damage{File: filepath.Base(p.seg.path), Offset: p.offset, Bytes: p.size, First: id, Last: id,
		Reason: "the bytes of a record have changed since it was written, or since the journal was opened"})
	return true
}

// Sync returns when what End was told before survives as Options.Sync promises. The error is
// ErrClosed, ErrReadOnly, the cause of ctx's end, or what the disk said. Once records could not
// be read again after a failed sync, every Sync of the process returns an error.
func (j *Journal) Sync(ctx context.Context) error {
	switch {
	case j.opts.ReadOnly:
		return ErrReadOnly
	case !j.writes.Load():
		return j.waiting.refusal()
	}
	e := newEntry(kindEnd, 0, nil, nil)
	e.waited = true
	if err := j.queue.add(e); err != nil {
		return fmt.Errorf("journal: sync: %w", err)
	}
	if _, err := j.wait(ctx, e); err != nil {
		return fmt.Errorf("journal: sync: %w", err)
	}
	return nil
}

// End says that records are done: nobody needs them any more, and Replay calls
// them done. It does not wait for the disk, as Sync does. A crash soon afterwards may make
// them undone again, so a caller of Replay must recognise finished work. A crash makes
// all records of one call undone or none. In a call with more than 4096 records it may
// make the last ones undone. Numbers that the journal does not hold mean nothing.
func (j *Journal) End(ids ...uint64) {
	if j.opts.ReadOnly {
		return
	}
	j.ledger.end(ids)
	if j.writes.Load() {
		j.queue.kick()
		j.keeper.kick()
	}
}

// Stats are a journal's figures.
type Stats struct {
	Bytes     int64 // of all segments
	Limit     int64 // from which on Append refuses
	LiveBytes int64 // of records that are not done
	Live      int   // records that are not done
	// ReadOnly is why Append refuses every value now; nil when it takes values. It
	// wraps ErrReopen when that lasts until the journal is opened again.
	ReadOnly error
	// Fault is what the disk said when a write failed in the last seconds, and none has
	// succeeded since.
	Fault error
}

// Stats returns the journal's figures of now.
func (j *Journal) Stats() Stats {
	s := Stats{Limit: j.limit(), Fault: j.queue.broken()}
	switch {
	case j.opts.ReadOnly:
		s.ReadOnly = ErrReadOnly
	case !j.writes.Load():
		s.ReadOnly = j.waiting.refusal()
	case j.gone.Load():
		s.ReadOnly = errGone
	}
	s.Bytes, s.LiveBytes, s.Live = j.ledger.totals()
	return s
}

// Damage returns what could not be read, by Open and since, the first 1000
// stretches of it, each once. Each Open tells it again until the segment is removed. A
// torn end is told until a record was written after it.
func (j *Journal) Damage() []Damage { return j.damage.all() }

// Close writes what waits, forces it to the disk unless Sync is Off, and gives
// the directory free. Records that are not done stay for the next Open. It returns the error of the last write. Further calls return the same.
func (j *Journal) Close() error {
	j.closing.Do(func() {
		j.queue.close()
		j.waiting.end()
		if j.writes.Load() {
			j.keeper.close()
			j.closeErr = j.writer.close()
			j.noteDone(math.MaxInt, j.opts.Sync != Off)
			j.state.close()
		}
		closeAll(j.ledger.close())
		j.metrics.limit.Sub(float64(j.limit()))
		j.closeErr = errors.Join(j.closeErr, j.lock.Close())
	})
	return j.closeErr
}

// noteDone notes up to which number all records are done, so that none of them comes back
// when a record that says so is damaged later. It looks at so many records at most. What
// Open could not read, the next process may read, so nothing is noted then.
func (j *Journal) noteDone(most int, durable bool) {
	if !j.whole {
		return
	}
	if done := j.ledger.done(most); done > j.state.values().done {
		j.state.set(durable, func(v *stateValues) { v.done = done })
	}
}

// closeAll closes segments. Earlier syncs have decided which of their records are on the disk, so an error of closing is ignored.
func closeAll(segments []*segment) {
	for _, s := range segments {
		_ = s.file.Close()
	}
}

// damages collects what could not be read.
type damages struct {
	metrics *metrics

	mu   sync.Mutex // guards list
	list []Damage
}

const maxDamages = 1000

// add adds a stretch, unless it is known already.
func (d *damages) add(damage Damage) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.Contains(d.list, damage) {
		return
	}
	d.metrics.damage.Inc()
	if len(d.list) < maxDamages {
		d.list = append(d.list, damage)
	}
}

func (d *damages) all() []Damage {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Damage(nil), d.list...)
}
