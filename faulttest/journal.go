package faulttest

import (
	"context"
	"sync"
)

// Records is a journal as a bucket.Collector uses one: bucket.Journal has these
// methods. A journal that also has the methods of bucket.Replayer and bucket.Syncer keeps them.
type Records interface {
	Append(ctx context.Context, kind byte, meta, blob []byte) (id uint64, err error)
	Read(id uint64) (kind byte, meta, blob []byte, err error)
	End(ids ...uint64)
}

// visitor is called for each record of a replay.
type visitor = func(id uint64, kind byte, meta, blob []byte, done bool) error

type replayer interface{ Replay(visit visitor) error }

// Journal is a journal that does what faults say. Append is a Put, Read a Get, End a
// Delete and Replay a Query; Call.Kind tells kinds of records apart.
//
// End returns no error. A fault of End leaves the records undone, as a crash soon
// afterwards does. A fault that is Behind ends the records later.
//
// An Append that is a Lie, or is Behind, returns a number from 1<<63 on, which no
// journal gives. The record cannot be read until it is written.
//
// bucket.Journal promises that a failed Append leaves no record, unless its context has
// ended. Applied, and Behind with Err, break this promise. A value may then be counted
// twice.
type Journal struct {
	*Faults
	journal Records

	mu       sync.Mutex        // guards what follows
	promised uint64            // numbers given to records that are not written
	written  map[uint64]uint64 // numbers in the journal, by promised number
}

// NewJournal returns a journal that does what j does until a fault is injected. The
// seed makes Chance repeatable.
func NewJournal(j Records, seed uint64) *Journal {
	return &Journal{Faults: newFaults(seed), journal: j, written: make(map[uint64]uint64)}
}

// Append implements bucket.Journal.
func (j *Journal) Append(ctx context.Context, kind byte, meta, blob []byte) (id uint64, err error) {
	rule := j.choose(Call{Op: Put, Kind: kind}, nil)
	promise := uint64(0)
	if rule != nil && (rule.fault.Lie || rule.fault.Behind > 0) {
		promise = j.promise()
	}
	err = rule.do(ctx, func(ctx context.Context) (err error) {
		n, err := j.journal.Append(ctx, kind, meta, blob)
		if promise != 0 {
			j.keep(promise, n)
			return err
		}
		id = n
		return err
	})
	switch {
	case err != nil:
		return 0, err
	case promise != 0:
		return promise, nil
	}
	return id, nil
}

// promise returns a number for a record that is not written.
func (j *Journal) promise() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.promised++
	return 1<<63 + j.promised
}

// keep notes which number a record got when it was written.
func (j *Journal) keep(promise, id uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if id != 0 {
		j.written[promise] = id
	}
}

// real returns the number under which the journal has a record.
func (j *Journal) real(id uint64) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n, ok := j.written[id]; ok {
		return n
	}
	return id
}

// Read implements bucket.Journal.
func (j *Journal) Read(id uint64) (kind byte, meta, blob []byte, err error) {
	rule := j.choose(Call{Op: Get}, nil)
	err = rule.do(context.Background(), func(context.Context) (err error) {
		kind, meta, blob, err = j.journal.Read(j.real(id))
		return err
	})
	if err != nil {
		return 0, nil, nil, err
	}
	return kind, meta, rule.blob(blob), nil
}

// blob returns a record's blob as the fault says.
func (r *Rule) blob(blob []byte) []byte {
	if r == nil {
		return blob
	}
	return r.fault.spoilBlob(blob)
}

// End implements bucket.Journal. It does not wait: Delay and Hang leave the records
// undone.
func (j *Journal) End(ids ...uint64) {
	rule := j.choose(Call{Op: Delete}, nil)
	end := func() {
		known := make([]uint64, len(ids))
		for i, id := range ids {
			known[i] = j.real(id)
		}
		j.journal.End(known...)
	}
	switch {
	case rule == nil || rule.fault.Pass || rule.fault.Applied && !rule.fault.Hang:
		end()
	case rule.fault.Behind > 0:
		j.fallBehind(rule.fault.Behind, end)
	}
}

// Sync implements bucket.Syncer: with a journal that is one it returns what that says, else nil.
// It is a Delete, as End is.
func (j *Journal) Sync(ctx context.Context) error {
	to, ok := j.journal.(interface{ Sync(context.Context) error })
	if !ok {
		return nil
	}
	return j.choose(Call{Op: Delete}, nil).do(ctx, to.Sync)
}

// Replay implements bucket.Replayer for a journal that is one; another has no records.
// With Partial every other record is visited before the error, with Stray one of a kind
// that nobody knows.
func (j *Journal) Replay(visit func(id uint64, kind byte, meta, blob []byte, done bool) error) error {
	from, ok := j.journal.(replayer)
	if !ok {
		return nil
	}
	rule, n := j.choose(Call{Op: Query}, nil), 0
	err := rule.do(context.Background(), func(context.Context) error {
		return from.Replay(func(id uint64, kind byte, meta, blob []byte, done bool) error {
			if n++; rule != nil && rule.fault.Partial && n%2 == 0 {
				return nil
			}
			return visit(id, kind, meta, rule.blob(blob), done)
		})
	})
	switch {
	case err != nil || rule == nil:
		return err
	case rule.fault.Stray:
		return visit(1<<63, 255, nil, []byte("a record that nobody wrote"), false)
	case rule.fault.Partial:
		return rule.fault.cause(ErrInjected)
	}
	return nil
}
