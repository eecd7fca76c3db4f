// Package httpfault is an http.RoundTripper that fails on purpose, between a
// client under test and its server: it delays, hangs, resets, answers in the
// server's place, loses answers and spoils bodies, as Faults say, and counts.
package httpfault

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Fault says which requests go wrong and how. The first group of fields
// chooses requests, and all that are set must agree; the second says what
// happens, and all that are set do, in the order of the fields. A Fault with
// none of the second group lets its requests pass and counts them.
type Fault struct {
	Match  func(*http.Request) bool // these requests; nil: all. It must not read the body.
	Chance float64                  // with this probability from 0 to 1; 0: always
	Times  int                      // this often at most; 0: until Heal

	Delay time.Duration // wait before the request is sent, or until its context ends
	Hang  bool          // wait for the end of the request's context
	Reset bool          // the connection is reset before the server sees the request

	// Status is answered, with Header and Body, and the server is not asked.
	Status int
	Header http.Header
	Body   string

	Spoil bool // one bit in the middle of the request's body is flipped
	Lost  bool // the server acts, and the connection is reset before its answer

	// These happen to the body of the server's answer.
	Flip  bool          // one bit in the middle is flipped
	Cut   bool          // the connection is reset in the middle
	Stall bool          // nothing comes after the middle until the request's context ends
	Pace  time.Duration // each kilobyte takes this long
}

// Transport is a RoundTripper that does what Faults say. It is safe for any
// number of goroutines.
type Transport struct {
	base http.RoundTripper

	mu     sync.Mutex // guards what follows, and the counts of the rules
	random *rand.Rand
	rules  []*Rule
	busy   int
	peak   int
}

// Rule is a Fault in force. Its counts stay readable after Heal.
type Rule struct {
	fault     Fault
	transport *Transport
	seen, hit int
}

// New returns a Transport that is as good as base until Inject is called. The
// seed makes Chance repeatable.
func New(base http.RoundTripper, seed uint64) *Transport {
	return &Transport{base: base, random: rand.New(rand.NewPCG(seed, seed))}
}

// Inject puts a fault in force beside those that are. Of several that choose
// a request the one injected first happens; the later ones do not count it.
func (t *Transport) Inject(f Fault) *Rule {
	t.mu.Lock()
	defer t.mu.Unlock()
	rule := &Rule{fault: f, transport: t}
	t.rules = append(t.rules, rule)
	return rule
}

// Heal ends all faults for the requests that start later.
func (t *Transport) Heal() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rules = nil
}

// Peak is the greatest number of requests that were under way at a time. A
// request is under way until its answer's body is closed.
func (t *Transport) Peak() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.peak
}

// Busy is the number of requests that are under way.
func (t *Transport) Busy() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.busy
}

// Seen is the number of requests that Match chose, gone wrong or not.
func (r *Rule) Seen() int {
	r.transport.mu.Lock()
	defer r.transport.mu.Unlock()
	return r.seen
}

// Hit is the number of requests that the fault happened to.
func (r *Rule) Hit() int {
	r.transport.mu.Lock()
	defer r.transport.mu.Unlock()
	return r.hit
}

// CloseIdleConnections closes those of the base that can.
func (t *Transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// RoundTrip sends the request, with the fault that chooses it, if one does.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	fault := t.begin(request)
	response, err := fault.roundTrip(t.base, request)
	if err != nil {
		t.end()
		return nil, err
	}
	response.Body = &closing{ReadCloser: response.Body, closed: sync.OnceFunc(t.end)}
	return response, nil
}

// begin counts a request and chooses its fault.
func (t *Transport) begin(request *http.Request) Fault {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy++
	t.peak = max(t.peak, t.busy)
	for _, rule := range t.rules {
		if rule.chooses(request) {
			return rule.fault
		}
	}
	return Fault{}
}

// chooses decides whether the fault happens to a request; the transport's
// mutex is held.
func (r *Rule) chooses(request *http.Request) bool {
	f := &r.fault
	if f.Match != nil && !f.Match(request) {
		return false
	}
	r.seen++
	if f.Times > 0 && r.hit >= f.Times || f.Chance > 0 && r.transport.random.Float64() >= f.Chance {
		return false
	}
	r.hit++
	return true
}

func (t *Transport) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy--
}

// sleep waits for d or the end of ctx, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
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
