package indextest

import (
	"context"
	"sync"
	"time"

	"github.com/timeblob/timeblob/index"
)

// Op is one of the two operations of an index.
type Op int

const (
	Put Op = iota
	Query
)

// Call describes an operation that is about to happen to a Faulty index.
type Call struct {
	Op    Op
	N     int // counts the calls of this Op from 1
	Row   index.Row
	Entry index.Entry // what a Put puts; zero for a Query
}

// Fault is what goes wrong with a call, in the order of the fields; the zero
// Fault is nothing.
type Fault struct {
	Delay  time.Duration // wait so long, or until the context ends
	Landed bool          // let the operation take effect before it fails
	Hang   bool          // wait until the context ends, and return its error
	Err    error         // return this
}

// Faulty is an index that fails as it is told, for tests of callers. It is
// safe for any number of goroutines.
type Faulty struct {
	index index.Index

	mu     sync.Mutex // guards what follows
	decide func(Call) Fault
	calls  [2]int
	failed [2]int
}

var _ index.Index = (*Faulty)(nil)

// NewFaulty returns an index that does what index does until Inject is called.
func NewFaulty(idx index.Index) *Faulty { return &Faulty{index: idx} }

// Inject lets decide choose the fault of every call that starts from now on;
// nil heals the index. decide is called by one goroutine at a time and must
// not call the index.
func (f *Faulty) Inject(decide func(Call) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decide = decide
}

// FailNext lets the next n calls of op fail as fault says and all others pass.
func (f *Faulty) FailNext(op Op, n int, fault Fault) {
	f.Inject(func(c Call) Fault {
		if c.Op != op || n == 0 {
			return Fault{}
		}
		n--
		return fault
	})
}

// Calls returns how many calls of op were made, failed ones included.
func (f *Faulty) Calls(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// Failed returns how many calls of op a fault made fail.
func (f *Faulty) Failed(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed[op]
}

// Put implements index.Index.
func (f *Faulty) Put(ctx context.Context, row index.Row, e index.Entry) error {
	return f.do(ctx, Call{Op: Put, Row: row, Entry: e}, func() error { return f.index.Put(ctx, row, e) })
}

// Query implements index.Index.
func (f *Faulty) Query(ctx context.Context, row index.Row, from, to int64) (found []index.Entry, err error) {
	err = f.do(ctx, Call{Op: Query, Row: row}, func() (err error) {
		found, err = f.index.Query(ctx, row, from, to)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// do lets operation happen, or not, or without telling.
func (f *Faulty) do(ctx context.Context, c Call, operation func() error) error {
	fault := f.next(c)
	if err := sleep(ctx, fault.Delay); err != nil {
		return f.fail(c.Op, err)
	}
	if fault.Err == nil && !fault.Hang {
		return operation()
	}
	if fault.Landed {
		_ = operation() // what came of it is lost on its way back
	}
	if fault.Hang {
		<-ctx.Done()
		return f.fail(c.Op, ctx.Err())
	}
	return f.fail(c.Op, fault.Err)
}

func (f *Faulty) next(c Call) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[c.Op]++
	c.N = f.calls[c.Op]
	if f.decide == nil {
		return Fault{}
	}
	return f.decide(c)
}

func (f *Faulty) fail(op Op, err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed[op]++
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
