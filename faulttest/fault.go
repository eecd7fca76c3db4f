// Package faulttest makes stores that fail on purpose, for the tests of the
// code that uses them. Its words are the same for all kinds of stores: NewIndex
// wraps an index.Index, NewLevels one that also deletes and has places, NewTier a
// tiered.Tier, NewJournal a bucket.Journal, and NewTransport the HTTP transport of a
// driver's client. Each does what it wraps does until a Fault is injected.
//
//	fail      Err                        the store answers with an error
//	delay     Delay, Pace                it answers later
//	hang      Hang                       it does not answer
//	truncate  Truncate, Partial          half of the answer is missing
//	lie       Lie                        it reports a write that it did not make
//	          Applied                    it made the write and reports that it failed
//	          Corrupt, Misplace, Stray   it answers other bytes than were put
//	reorder   Behind                     a write becomes visible after later ones
//
// Chance, Every, Times, Op and Match choose the calls. The same seed makes the same
// choices for the same calls.
//
//	store := faulttest.NewTier(driver, seed)
//	rule := store.Inject(faulttest.Fault{Op: faulttest.Put, Chance: 0.2, Applied: true})
//	… // one put of five takes effect and is reported as failed
//	store.Heal()
//	t.Logf("%d of %d puts went wrong", rule.Hit(), rule.Seen())
package faulttest

import (
	"errors"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/timeblob/timeblob/index"
)

// ErrInjected is the error of a Fault that names none.
var ErrInjected = errors.New("faulttest: injected fault")

// ErrReset is what a client sees of a connection that its peer reset. It is the
// error of a Transport's Fault that names none.
var ErrReset error = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}

// Op is a set of operations. A Fault of no operation means all.
type Op uint8

// The operations of stores. A request of a Transport is a Request.
const (
	Get     Op = 1 << iota // Tier.Get, Journal.Read
	Put                    // Index.Put, Tier.Put, Journal.Append
	Query                  // Index.Query, Journal.Replay
	Delete                 // Levels.Delete, Tier.Delete, Journal.End
	Places                 // Levels.Places
	Swap                   // Levels.SwapPlace
	Request                // any HTTP request
)

// operations is how many there are.
const operations = 7

// Call is one call of a store. A Get of several keys is one Call for each key
// when Match looks at it.
type Call struct {
	Op      Op
	N       int           // counts the calls of this Op, from 1
	Key     string        // a Tier's key
	Row     index.Row     // an Index's row
	Entry   index.Entry   // what an Index's Put puts
	Kind    byte          // of the record that a Journal's Append writes
	Request *http.Request // a Transport's request; nobody may read its body
}

// Fault says which calls go wrong, and how. The first group of fields chooses
// calls: all that are set must agree. The second group says what happens: all
// that are set do, in the order of the fields. A Fault with none of the second
// group fails the call.
type Fault struct {
	Op     Op              // these operations; 0: all
	Match  func(Call) bool // these calls; nil: all
	Every  int             // each nth of these calls; 0 and 1: every one
	Chance float64         // with this probability from 0 to 1; 0: always
	Times  int             // this often at most; 0: until Heal

	Pass  bool          // do nothing wrong, but count
	Delay time.Duration // wait before the call is made, or until its context ends

	// Applied makes the call take effect although it is reported as failed.
	// Together with Hang its answer is late: it does not come before Heal.
	Applied bool
	// Hang waits for the end of the call's context, or for Heal, which lets the
	// call go on.
	Hang bool
	// Err is returned. The store beneath is not asked, unless Applied or
	// Partial say so.
	Err error
	// Lie reports a write as done that was not made. It is not for a Transport.
	Lie bool
	// Behind reports a write as done at once and makes it after so many later
	// calls of any kind, or at Heal: later writes can be visible before it.
	// With Err the write is reported as failed, and made all the same: so does
	// a request that arrives after its client gave up. It is not for a Transport.
	Behind int

	// These change what a read found. A Fault that does nothing else leaves
	// writes alone.
	Partial  bool // beside the error comes half of what was found, rounded down
	Corrupt  bool // bytes differ: of a blob every bit, of an HTTP answer's body one bit in its middle
	Truncate bool // the second half is missing; of an HTTP answer the connection is reset there
	Stray    bool // a Tier's answer is longer than what was asked for, by a blob that nobody put; a Journal replays a record more
	Misplace bool // a Tier finds under a key the blob of another key that was put through it

	// These are for a Transport only. Status is answered, with Header and Body,
	// and the server is not asked.
	Status      int
	Header      http.Header
	Body        string
	CorruptSent bool          // one bit in the middle of the request's body is flipped
	Stall       bool          // nothing comes after the middle of the answer's body until the context ends
	Pace        time.Duration // each kilobyte of the answer's body takes this long
}

// reads reports whether the fault changes what a read found and nothing else.
func (f *Fault) reads() bool {
	return (f.Corrupt || f.Truncate || f.Stray || f.Misplace) && !f.Applied && !f.Hang && !f.Partial && !f.Lie &&
		f.Delay == 0 && f.Err == nil && f.Behind == 0
}

// cause returns the error of a call, nil when it is to succeed. other is the
// error of a fault that names none.
func (f *Fault) cause(other error) error {
	switch {
	case f.Err != nil || f.Pass:
		return f.Err
	case f.Applied && !f.Hang, f.Partial:
		return other
	case f.Applied, f.Hang, f.Delay > 0, f.Lie, f.Behind > 0, f.Corrupt, f.Truncate, f.Stray, f.Misplace,
		f.CorruptSent, f.Stall, f.Pace > 0, f.Status != 0:
		return nil
	}
	return other
}
