package tiertest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/timeblob/timeblob/tiered"
)

// ErrInjected is the error of a Fault that names none.
var ErrInjected = errors.New("tiertest: injected fault")

// Op is a set of operations of a tier.
type Op uint8

// The operations; a Fault with none of them means all.
const (
	Get Op = 1 << iota
	Put
)

// Fault says which calls go wrong and how. The first group of fields chooses
// calls, and all that are set must agree; the second says what happens, and
// all that are set do, in the order of the fields. A Fault with none of the
// second group fails the call with ErrInjected.
type Fault struct {
	Op     Op                    // these operations; none: all
	Match  func(key string) bool // calls with such a key; nil: all calls
	Every  int                   // each nth of those calls; 0 or 1: every one
	Chance float64               // with this probability from 0 to 1; 0: always
	Times  int                   // this often at most; 0: until Heal

	Delay time.Duration // wait, or until the context ends
	Hang  bool          // wait for the context's end, or for Heal, which lets the call go on

	// Err is returned by the call, and the tier beneath is not asked, unless
	// Partial or Stored ask for that.
	Err     error
	Partial bool // Get: half of what was found, rounded down, beside the error
	Stored  bool // Put: the blob is stored, but the error returned

	// These spoil what Get found, of the keys that Match says yes to. A Fault
	// that does nothing else leaves puts alone.
	Corrupt  bool // every bit of every blob is flipped; of an empty blob comes one byte
	Truncate bool // every blob loses its second half
	Stray    bool // the answer is longer than what was asked for, by a blob that nobody put
}

// Faulty is a tier that does what Faults say, and counts. It is safe for any
// number of goroutines.
type Faulty struct {
	tier tiered.Tier

	mu     sync.Mutex // guards what follows
	random *rand.Rand
	faults []*active
	calls  [2]int
	keys   [2]int
	hit    [2]int
}

// active is a Fault in force.
type active struct {
	Fault
	seen   int           // calls that were eligible
	used   int           // calls that went wrong
	healed chan struct{} // closed by Heal
}

// NewFaulty returns a tier that is as good as tier until Inject is called.
// The seed makes Chance repeatable.
func NewFaulty(tier tiered.Tier, seed uint64) *Faulty {
	return &Faulty{tier: tier, random: rand.New(rand.NewPCG(seed, seed))}
}

// Inject puts a fault in force beside those that are. Of several that choose
// the same call, the one injected first happens.
func (f *Faulty) Inject(fault Fault) {
	if fault.Op == 0 {
		fault.Op = Get | Put
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, &active{Fault: fault, healed: make(chan struct{})})
}

// Heal ends all faults and lets calls that hang go on.
func (f *Faulty) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.faults {
		close(a.healed)
	}
	f.faults = nil
}

// Calls returns how many calls of an operation began.
func (f *Faulty) Calls(op Op) int { return f.count(&f.calls, op) }

// Keys returns how many keys the calls of an operation named.
func (f *Faulty) Keys(op Op) int { return f.count(&f.keys, op) }

// Faults returns how many calls of an operation a Fault chose.
func (f *Faulty) Faults(op Op) int { return f.count(&f.hit, op) }

func (f *Faulty) count(counts *[2]int, op Op) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if op&Get != 0 {
		n += counts[0]
	}
	if op&Put != 0 {
		n += counts[1]
	}
	return n
}

// Get reads from the tier beneath, or does what a fault says.
func (f *Faulty) Get(ctx context.Context, keys []string) ([][]byte, error) {
	a := f.choose(Get, keys)
	if a == nil {
		return f.tier.Get(ctx, keys)
	}
	if err := a.wait(ctx); err != nil {
		return nil, err
	}
	cause := a.cause()
	if cause != nil && !a.Partial {
		return nil, cause
	}
	found, err := f.tier.Get(ctx, keys)
	if err == nil && cause != nil {
		halve(found)
		err = cause
	}
	return a.spoil(keys, found), err
}

// Put writes to the tier beneath, or does what a fault says.
func (f *Faulty) Put(ctx context.Context, key string, blob []byte) error {
	a := f.choose(Put, []string{key})
	if a == nil {
		return f.tier.Put(ctx, key, blob)
	}
	if err := a.wait(ctx); err != nil {
		return err
	}
	cause := a.cause()
	if cause != nil && !a.Stored {
		return cause
	}
	return errors.Join(cause, f.tier.Put(ctx, key, blob))
}

// choose counts a call and returns the fault that applies to it, if any.
func (f *Faulty) choose(op Op, keys []string) *active {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[op-1]++
	f.keys[op-1] += len(keys)
	for _, a := range f.faults {
		if a.applies(op, keys, f.random) {
			f.hit[op-1]++
			return a
		}
	}
	return nil
}

func (a *active) applies(op Op, keys []string, random *rand.Rand) bool {
	if a.Op&op == 0 || !a.concerns(keys) || (a.Times > 0 && a.used >= a.Times) {
		return false
	}
	if op == Put && a.onlySpoils() {
		return false
	}
	a.seen++
	if a.Every > 1 && a.seen%a.Every != 0 {
		return false
	}
	if a.Chance > 0 && random.Float64() >= a.Chance {
		return false
	}
	a.used++
	return true
}

func (a *active) concerns(keys []string) bool {
	for _, key := range keys {
		if a.matches(key) {
			return true
		}
	}
	return a.Match == nil
}

func (a *active) matches(key string) bool { return a.Match == nil || a.Match(key) }

// cause is the error of the call, nil when it is to succeed.
func (a *active) cause() error {
	if a.Err == nil && (a.Partial || a.Stored || !a.mild()) {
		return ErrInjected
	}
	return a.Err
}

// mild says whether the fault does something that leaves the call without an
// error.
func (a *active) mild() bool { return a.Delay > 0 || a.Hang || a.spoils() }

func (a *active) spoils() bool { return a.Corrupt || a.Truncate || a.Stray }

func (a *active) onlySpoils() bool {
	return a.spoils() && a.Delay == 0 && !a.Hang && a.Err == nil && !a.Partial && !a.Stored
}

func (a *active) wait(ctx context.Context) error {
	if a.Delay > 0 {
		timer := time.NewTimer(a.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !a.Hang {
		return nil
	}
	select {
	case <-a.healed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// halve drops half of what was found.
func halve(found [][]byte) {
	n := 0
	for _, blob := range found {
		if blob != nil {
			n++
		}
	}
	drop := (n + 1) / 2
	for i, blob := range found {
		if blob != nil && drop > 0 {
			found[i] = nil
			drop--
		}
	}
}

// spoil does to the blobs found what the fault says.
func (a *active) spoil(keys []string, found [][]byte) [][]byte {
	for i, blob := range found {
		if blob != nil && a.matches(keys[i]) {
			found[i] = a.spoilBlob(blob)
		}
	}
	if a.Stray {
		found = append(found, Blob(20))
	}
	return found
}

func (a *active) spoilBlob(blob []byte) []byte {
	if a.Truncate {
		blob = blob[:len(blob)/2]
	}
	if !a.Corrupt {
		return blob
	}
	flipped := bytes.Clone(blob)
	for i := range flipped {
		flipped[i] = ^flipped[i]
	}
	if len(flipped) == 0 {
		return []byte{0xff}
	}
	return flipped
}
