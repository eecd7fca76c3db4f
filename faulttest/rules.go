package faulttest

import (
	"context"
	"math/bits"
	"math/rand/v2"
	"sync"

	"github.com/timeblob/timeblob/internal/pause"
)

// Faults are the faults in force on one store. It is safe for any number of
// goroutines.
type Faults struct {
	mu     sync.Mutex // guards what follows, and the counts of the rules
	random *rand.Rand
	decide func(Call) Fault
	rules  []*Rule
	behind []*write
	calls  [operations]int
	keys   [operations]int
	hits   [operations]int
	decree *Rule // holds back the calls that hang because decide said so
}

// write is one that was acknowledged and not yet made.
type write struct {
	left int // calls to go
	do   func()
}

// Rule is a Fault in force. Its counts stay readable after Heal.
type Rule struct {
	fault     Fault
	faults    *Faults
	seen, hit int
	healed    chan struct{} // closed by Heal
}

func newFaults(seed uint64) *Faults {
	f := &Faults{random: rand.New(rand.NewPCG(seed, seed))}
	f.decree = f.newRule(Fault{})
	return f
}

func (f *Faults) newRule(fault Fault) *Rule {
	return &Rule{fault: fault, faults: f, healed: make(chan struct{})}
}

// Inject puts a fault in force beside the others. Of several faults that choose
// the same call, the one injected first happens, and the later ones do not count
// it.
func (f *Faults) Inject(fault Fault) *Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.newRule(fault)
	f.rules = append(f.rules, r)
	return r
}

// Decide lets decide choose the fault of every call that starts from now on and
// that no injected fault chooses; its Match, Every, Chance and Times are not
// looked at, and a zero Fault lets the call pass. It is called by one goroutine
// at a time and must not call the store.
func (f *Faults) Decide(decide func(Call) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decide = decide
}

// Heal ends all faults, lets calls that hang go on, and makes the writes that
// are behind.
func (f *Faults) Heal() {
	f.mu.Lock()
	rules, writes := append(f.rules, f.decree), f.behind
	f.rules, f.behind, f.decide, f.decree = nil, nil, nil, f.newRule(Fault{})
	f.mu.Unlock()
	for _, r := range rules {
		close(r.healed)
	}
	for _, w := range writes {
		w.do()
	}
}

// Calls returns how many calls of the operations began.
func (f *Faults) Calls(op Op) int { return f.sum(&f.calls, op) }

// Keys returns how many keys the calls of the operations named.
func (f *Faults) Keys(op Op) int { return f.sum(&f.keys, op) }

// Hits returns how many calls of the operations a fault happened to.
func (f *Faults) Hits(op Op) int { return f.sum(&f.hits, op) }

func (f *Faults) sum(counts *[operations]int, op Op) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, count := range counts {
		if op&(1<<i) != 0 {
			n += count
		}
	}
	return n
}

// Seen returns how many calls the fault's Op and Match chose, whether or not
// they went wrong.
func (r *Rule) Seen() int {
	r.faults.mu.Lock()
	defer r.faults.mu.Unlock()
	return r.seen
}

// Hit returns how many calls the fault happened to.
func (r *Rule) Hit() int {
	r.faults.mu.Lock()
	defer r.faults.mu.Unlock()
	return r.hit
}

// choose counts a call, which names keys, and returns the rule that applies to
// it, or nil. Writes that are behind and due are made first.
func (f *Faults) choose(c Call, keys []string) *Rule {
	rule, due := f.begin(c, keys)
	for _, w := range due {
		w.do()
	}
	return rule
}

func (f *Faults) begin(c Call, keys []string) (rule *Rule, due []*write) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := bits.TrailingZeros8(uint8(c.Op))
	f.calls[i]++
	f.keys[i] += len(keys)
	c.N = f.calls[i]
	due = f.due()
	for _, r := range f.rules {
		if r.applies(c, keys) {
			f.hits[i]++
			return r, due
		}
	}
	if f.decide == nil {
		return nil, due
	}
	r := f.newRule(f.decide(c))
	if r.fault.cause(ErrInjected) == ErrInjected && r.fault.zero() {
		return nil, due
	}
	r.healed = f.decree.healed
	f.hits[i]++
	return r, due
}

// zero reports whether a Fault of Decide says nothing.
func (f *Fault) zero() bool { return f.Err == nil && !f.Applied && !f.Partial }

// due returns the writes that this call makes visible.
func (f *Faults) due() (due []*write) {
	later := f.behind[:0]
	for _, w := range f.behind {
		if w.left--; w.left < 0 {
			due = append(due, w)
			continue
		}
		later = append(later, w)
	}
	f.behind = later
	return due
}

// fallBehind keeps a write for later.
func (f *Faults) fallBehind(calls int, do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behind = append(f.behind, &write{calls, do})
}

// applies decides whether the fault happens to a call; the mutex is held.
func (r *Rule) applies(c Call, keys []string) bool {
	f := &r.fault
	if f.Op != 0 && f.Op&c.Op == 0 || !r.concerns(c, keys) {
		return false
	}
	if f.reads() && c.Op&(Put|Delete|Swap) != 0 {
		return false
	}
	r.seen++
	if f.Times > 0 && r.hit >= f.Times || f.Every > 1 && r.seen%f.Every != 0 {
		return false
	}
	if f.Chance > 0 && r.faults.random.Float64() >= f.Chance {
		return false
	}
	r.hit++
	return true
}

func (r *Rule) concerns(c Call, keys []string) bool {
	if c.Op != Get {
		return r.matches(c)
	}
	for _, key := range keys {
		if c.Key = key; r.matches(c) {
			return true
		}
	}
	return r.fault.Match == nil
}

func (r *Rule) matches(c Call) bool { return r.fault.Match == nil || r.fault.Match(c) }

// hang waits for the end of ctx, whose error it returns, or for Heal.
func (r *Rule) hang(ctx context.Context) error {
	select {
	case <-r.healed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// do makes a call that is not a read with answers of its own: it lets operation
// happen, or not, or without saying so.
func (r *Rule) do(ctx context.Context, operation func(context.Context) error) error {
	if r == nil {
		return operation(ctx)
	}
	f := &r.fault
	if f.Delay > 0 {
		if err := pause.For(ctx, f.Delay); err != nil {
			return err
		}
	}
	if f.Lie {
		return nil
	}
	if f.Behind > 0 {
		r.faults.fallBehind(f.Behind, func() { _ = operation(context.WithoutCancel(ctx)) })
		return f.Err
	}
	if f.Applied {
		return r.apply(ctx, operation)
	}
	if f.Hang {
		if err := r.hang(ctx); err != nil {
			return err
		}
	}
	if err := f.cause(ErrInjected); err != nil && !f.Partial {
		return err
	}
	return operation(ctx)
}

// apply makes a call whose outcome its caller does not learn, or learns late.
func (r *Rule) apply(ctx context.Context, operation func(context.Context) error) error {
	err := operation(ctx)
	if r.fault.Hang {
		if ended := r.hang(ctx); ended != nil {
			return ended
		}
	}
	if cause := r.fault.cause(ErrInjected); cause != nil {
		return cause
	}
	return err
}
