package bucket

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket/internal/outbox"
	"github.com/timeblob/timeblob/bucket/internal/record"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/gate"
)

// stage is how far a pending value has come on its way into the index.
type stage uint8

const (
	sealed  stage = iota // its tick has ended
	encoded              // it has a blob
	stored               // the blob is under its key, where nobody else's can be
	indexed              // it is discoverable
)

// pending is a sealed value until it is discoverable, or known never to be. One
// goroutine at a time moves it on: the one that holds its turn. There are many of
// them while the store is away, so it is small: see restSize.
type pending[T any] struct {
	owner   *tenant[T]
	value   *lazy[T]
	parts   []*lazy[T] // values whose merge is value, if it can be split
	records []uint64   // of the journal's values that are merged in it; never changed
	turn    gate.Turn  // held while the value is being moved on
	trail   *trail[T]  // guarded by the turn; nil before the first attempt
	late    time.Time  // guarded by the turn: until when an attempt under the key may take effect; zero: none was made

	fresh     bool        // its keys are never given to another value
	withdrawn atomic.Bool // deleted before it was discoverable; written with the owner's mu held
	committed atomic.Bool // a crash may take it back until it is synced; written with the turn held
	synced    atomic.Bool // since it was committed
	over      atomic.Bool // it needs no further attempt
	leavingAt int32       // its place among the values that leave its tenant, from 1; 0: none; guarded by leaving.mu

	mu       sync.Mutex // guards what follows
	stage    stage
	storedAt int64 // since when the blob may be under its key, by the collector's age; 0: it is not
	entry    index.Entry
	blob     []byte
	size     int64 // bytes of memory, as counted in the budget
	err      error // of the last attempt
}

// trail is what attempts at a value have left behind. The value's turn guards it.
type trail[T any] struct {
	replayed bool          // the index was not asked yet whether it has the value
	taken    bool          // another writer's entry has the instant, and an attempt may still land
	part     bool          // of a sealed value: it gets a key and an instant of its own unless the index has the whole
	place    int32         // how many nanoseconds later than the whole that is
	underway func() bool   // whether the last commit that outlived its attempt may still take effect; nil: there was none
	seals    []uint64      // its sealed records in the journal
	noted    blob.Ref      // what the last of them says
	keys     []string      // its keys before the present one
	halves   []*pending[T] // what it was split into; not changed once the value is over
}

// restBytes is about how many bytes of memory a value takes that rests in the
// journal: with its key and its place in the outbox 545, which
// TestRestingValuesAreSmall weighs, and the journal's note of where its record is.
const restBytes = 640

// recordBytes is about how many bytes each further record of a value takes that rests: its
// number, and the journal's note of where it is.
const recordBytes = 100

// restSize returns how many bytes of memory the value takes when it rests.
func (p *pending[T]) restSize() int64 { return restBytes + recordBytes*int64(len(p.records)-1) }

func newPending[T any](t *tenant[T], v *lazy[T], size int64) *pending[T] {
	return &pending[T]{owner: t, value: v, size: size}
}

// row is the row of the index that the value's entry belongs to. The caller has the
// turn, or holds mu.
func (p *pending[T]) row() index.Row { return index.RowAt(p.owner.id, p.entry.Time) }

// left returns what attempts have left behind, to be changed. The caller has the turn,
// or nobody else knows the value yet.
func (p *pending[T]) left() *trail[T] {
	if p.trail == nil {
		p.trail = &trail[T]{}
	}
	return p.trail
}

// before returns what attempts have left behind, to be read. The caller has the turn.
func (p *pending[T]) before() trail[T] {
	if p.trail == nil {
		return trail[T]{}
	}
	return *p.trail
}

// members returns the values that were merged into p, as far as they are known, or else
// p's value.
func (p *pending[T]) members() []*lazy[T] {
	switch {
	case len(p.records) > 1:
		return restingOn[T](p.records).members()
	case len(p.parts) > 1:
		return p.parts
	}
	return []*lazy[T]{p.value}
}

// name gives the value the instant t, and the row and key that follow from it.
func (p *pending[T]) name(t int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entry.Time = t
	if p.fresh {
		p.entry.Key = p.row().FreshBlobKey(t, rand.Text())
	} else {
		p.entry.Key = p.row().BlobKey(t)
	}
	p.unstore()
	if p.late = (time.Time{}); p.trail != nil {
		p.trail.taken, p.trail.underway = false, nil
	}
}

// unstore notes that nothing is stored under the value's key. A value that rests in
// the journal has no blob, though it was stored under another key. The caller holds mu.
func (p *pending[T]) unstore() {
	if p.blob == nil {
		p.stage = sealed
	}
	p.stage, p.storedAt = min(p.stage, encoded), 0
}

// encode notes the value's blob, which takes so many bytes more than what was
// counted before.
func (p *pending[T]) encode(bytes []byte, more int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blob, p.stage = bytes, encoded
	p.entry.Size, p.entry.Sum = int64(len(bytes)), blob.SumOf(bytes)
	p.size += more
}

// renew gives the value another key at its instant. The index may have it under
// the one before.
func (p *pending[T]) renew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := p.left()
	left.keys = append(left.keys, p.entry.Key)
	p.entry.Key = p.row().FreshBlobKey(p.entry.Time, rand.Text())
	p.unstore()
}

// resume gives a value the key and the sum that the journal says, under which an
// earlier process may have stored it, or may do so until the instant late. A part of a
// value was made when nothing could store the whole any more.
func (p *pending[T]) resume(v *record.Value, late time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entry.Key = v.Key
	p.trail = &trail[T]{seals: v.Seals, noted: blob.Ref{Key: v.Key, Sum: v.Sum}, keys: v.Keys, replayed: true}
	p.storedAt = longAgo
	if p.late = late; v.Part {
		p.late, p.trail.part, p.trail.place = time.Now(), true, v.Place
	}
}

// rest leaves a value that was sealed before an instant to the journal alone,
// unless it is being moved on. It returns how many bytes of memory that frees.
func (p *pending[T]) rest(before int64) (freed int64) {
	if len(p.records) == 0 || !p.turn.TryLock() {
		return 0
	}
	defer p.turn.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.entry.Time >= before || p.finished():
		return 0
	case p.committed.Load():
		if p.blob != nil {
			p.value.keepEncoded(p.blob)
		}
		return 0
	case p.size == p.restSize() && p.blob == nil:
		return 0
	}
	p.value.rest(p.records)
	if p.blob = nil; p.stage != stored { // a commit that could not be synced is made again
		p.stage = sealed
	}
	freed, p.size = p.size-p.restSize(), p.restSize()
	return freed
}

// noteCommitted notes that the value is committed. It returns how many bytes of memory
// are not pending any more. The caller has the turn.
func (p *pending[T]) noteCommitted() (freed int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.committed.Store(true)
	freed, p.size = p.size, 0
	return freed
}

// noteLost notes that the commit may be lost, and why. It returns how many bytes
// are pending again. The caller has the turn.
func (p *pending[T]) noteLost(cause error) (bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.committed.Store(false)
	p.stage, p.err = encoded, cause
	p.size = int64(len(p.blob))
	return p.size
}

// differs reports whether the blob differs from the one that the journal has noted for
// the present key. The caller has the turn.
func (p *pending[T]) differs() bool {
	noted := p.before().noted
	return noted.Key == p.entry.Key && noted.Sum.Known() && noted.Sum != p.entry.Sum
}

// isOwn reports whether an entry at the value's instant is its own. The caller
// has the turn.
func (p *pending[T]) isOwn(e index.Entry) bool {
	return e.Time == p.entry.Time && (e.Key == p.entry.Key || slices.Contains(p.before().keys, e.Key))
}

// reach notes that the value has come to a stage.
func (p *pending[T]) reach(s stage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stage = s
}

// reachIndex notes that the index has the value as the entry e. A value that was not encoded
// learns its blob's size and sum from e. A put under the key that it had may still arrive.
func (p *pending[T]) reachIndex(e index.Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stage < encoded {
		if p.entry.Key != e.Key {
			left := p.left()
			left.keys = append(left.keys, p.entry.Key)
		}
		p.entry = e
	}
	p.stage = indexed
}

// longAgo is storedAt for a blob of unknown age.
const longAgo = math.MinInt64 / 2

// beginPut notes that the blob may be under its key from now on. It stays as old as the first
// attempt to put it: a deletion may have listed the key since then, and a put may replace a
// blob or be answered late.
func (p *pending[T]) beginPut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.storedAt == 0 {
		p.storedAt = p.owner.shared.age()
	}
}

// storedFor is how long a blob without an entry is relied upon: half of the time
// that a deletion, of another process also, leaves such blobs alone.
const storedFor = 30 * time.Second

// doubtBlob notes that a deletion may have taken the blob.
func (p *pending[T]) doubtBlob() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.storedAt = longAgo
}

// doubts reports whether the blob of the value's entry e has waited so long for e that a
// deletion may have taken it. It is true when an earlier process, or an attempt under
// another key, has stored the blob. The caller has the turn.
func (p *pending[T]) doubts(e index.Entry) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stage != stored || e.Key != p.entry.Key || p.owner.shared.age()-p.storedAt > int64(storedFor)
}

// own reports whether an entry that has this value's instant and key is its own
// and not another writer's. The caller has the turn.
func (p *pending[T]) own() bool { return p.fresh || p.stage >= stored || p.unsure() }

// unsure reports whether an attempt under the present key may have taken effect, or may do so
// later. The caller has the turn.
func (p *pending[T]) unsure() bool { return !p.late.IsZero() }

// mayLand reports whether such an attempt may still take effect. The caller has the turn.
func (p *pending[T]) mayLand() bool {
	underway := p.before().underway
	return time.Now().Before(p.late) || underway != nil && underway()
}

// possible returns the entries that attempts may have put: the present one, and those with
// earlier keys. The caller has the turn, or the value is over.
func (p *pending[T]) possible() []index.Entry {
	_, e := p.state()
	all := []index.Entry{e}
	for _, e.Key = range p.before().keys {
		all = append(all, e)
	}
	return all
}

// state returns how far the value has come, and its entry.
func (p *pending[T]) state() (stage, index.Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stage, p.entry
}

// weight returns the bytes of memory that the value counts.
func (p *pending[T]) weight() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

// note keeps the error of an attempt. An error of the store is not replaced by
// one that the caller's context made, and that somebody gave up is replaced by
// any other.
func (p *pending[T]) note(err error, blame bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if blame || p.err == nil || errors.Is(p.err, context.Canceled) {
		p.err = err
	}
}

// waits reports whether the last attempt left the value to wait for earlier ones.
func (p *pending[T]) waits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, waits := errors.AsType[*outbox.WaitError](p.err)
	return waits
}

// undelivered describes a value that is not discoverable yet.
func (p *pending[T]) undelivered() Undelivered {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Undelivered{Tenant: p.owner.id, Time: time.Unix(0, p.entry.Time), Err: p.err}
}

// awaitsSync reports whether the value is committed, and a crash may take that back.
func (p *pending[T]) awaitsSync() bool {
	return p.committed.Load() && !p.synced.Load() && !p.over.Load()
}

// finished reports whether the value needs no further attempt.
func (p *pending[T]) finished() bool { return p.over.Load() }

// partsOf returns what a finished value was split into, if it was.
func (p *pending[T]) partsOf() []*pending[T] { return p.before().halves }

// among reports whether the value is one of the entries. Where one of them has
// its instant, the step of the flush that is under way decides whose
// entry it is, and among waits for that step.
func (p *pending[T]) among(ctx context.Context, entries []index.Entry) (bool, error) {
	stage, e := p.state()
	place, taken := index.Search(entries, e.Time)
	switch {
	case !taken:
		return false, nil
	case entries[place].Same(e) && (p.fresh || stage >= stored):
		return true, nil
	}
	if err := p.turn.LockContext(ctx); err != nil {
		return false, err
	}
	defer p.turn.Unlock()
	place, taken = index.Search(entries, p.entry.Time)
	return taken && p.own() && p.isOwn(entries[place]), nil
}

// names reports whether e is one of entries, which ascend by Time.
func names(entries []index.Entry, e index.Entry) bool {
	place, taken := index.Search(entries, e.Time)
	return taken && entries[place].Same(e)
}

// leaving are values of a tenant that are not held any more, and whose records in the journal
// have not ended yet. A deletion ends them: a crash would bring them back. It has a lock of its
// own, because a merge may hang under the tenant's.
type leaving[T any] struct {
	mu     sync.Mutex
	values []*pending[T] // each knows its place
}

// add adds a value. One that was added before stays where it is.
func (l *leaving[T]) add(p *pending[T]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.leavingAt == 0 {
		l.values = append(l.values, p)
		p.leavingAt = int32(len(l.values))
	}
}

// remove takes a value out, and has the last one fill its place.
func (l *leaving[T]) remove(p *pending[T]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.leavingAt == 0 {
		return
	}
	end := len(l.values) - 1
	last := l.values[end]
	l.values[p.leavingAt-1], last.leavingAt = last, p.leavingAt
	l.values[end], p.leavingAt = nil, 0
	if l.values = l.values[:end]; end == 0 {
		l.values = nil // gives back the memory that many values took
	}
}

func (l *leaving[T]) has(p *pending[T]) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return p.leavingAt > 0
}

func (l *leaving[T]) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.values) == 0
}

// all returns the values that in chooses, in no order.
func (l *leaving[T]) all(in func(*pending[T]) bool) (values []*pending[T]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.values {
		if in(p) {
			values = append(values, p)
		}
	}
	return values
}
