package fleet

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

var tenants = []string{"acme", ""}

// value is one value that a client sent.
type value struct {
	tenant string
	node   *node
	past   bool // it was sent with an instant
	acked  bool
	none   bool // it was refused, and must be in no answer

	// The instant of the value, once it has one, lies in [earliest, latest] unless the clock was set.
	earliest, latest int64
	sets             int64 // of the node's clock when the value was sent
	loose            bool  // the clock was set meanwhile: the instant may be any
	process          *process
	sent             time.Time

	at          int64     // its instant, once it is known to be stored; 0 before
	told        time.Time // when that was told
	doubt       bool      // a deletion that may concern it has begun
	interrupted time.Time // when such a deletion failed last
	gone        int       // the event since which it is deleted for sure; 0: it is not
	goneBy      *process  // the process that deleted it
}

// model knows which values were sent, and which were acknowledged.
type model struct {
	mu     sync.Mutex // guards what follows, and what values hold
	values []*value
	events int // deletions that returned
	active []*deletion
	failed []*deletion // those whose last attempt failed
}

// doubted notes that a deletion which is under way may concern a value by now. The caller holds mu.
func (m *model) doubted(v *value) {
	for _, d := range m.active {
		_, perhaps := d.touches(v)
		v.doubt = v.doubt || perhaps
	}
}

// send notes a value before it is sent, and returns its id.
func (m *model) send(v *value) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values = append(m.values, v)
	m.doubted(v)
	return len(m.values) - 1
}

// acknowledge notes that a value was taken. Its tick may end until latest.
func (m *model) acknowledge(id int, latest int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.values[id]
	v.acked, v.latest = true, max(v.latest, latest)
	v.loose = v.loose || v.sets != v.node.set.Load()
	m.doubted(v)
}

// refuse notes that a value was refused.
func (m *model) refuse(id int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[id].none = true
}

// clockSet notes that a node's clock was set: the instants of values of open ticks may be any.
func (m *model) clockSet(n *node) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.values {
		if v.node == n && time.Since(v.sent) < 2*window {
			v.loose = true
			m.doubted(v)
		}
	}
}

// killed notes that a node's process was killed. Its journal may not say yet that values are stored which were stored a
// moment ago. If a deletion takes them before the next process looks, that one stores them again.
func (m *model) killed(n *node) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.values {
		if v.node == n && time.Since(v.told) < tick {
			v.at = 0
		}
	}
}

// question is what an answer is compared with: what is certain when it begins.
type question struct {
	tenant   string
	from, to int64
	of       *node    // only this node's values are certain; nil: every node's
	live     *process // the question is about its live window
	certain  []int
	begun    int // the last event before it

	provisional bool // values may still come into the range, as the answer says
}

// endsTicks notes that the ticks of values that came lately and are not stored end within some time: a process begins, or closes and
// waits for adds under way.
func (m *model) endsTicks(n *node, within time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.values {
		if v.node == n && !v.past && time.Since(v.sent) < 2*window {
			v.latest = max(v.latest, n.now().Add(within).UnixNano()+slack)
			m.doubted(v)
		}
	}
}

// in reports whether a value is in the range for sure, and whether it may be.
func (v *value) in(q *question) (certain, possible bool) {
	switch {
	case v.tenant != q.tenant || v.none:
		return false, false
	case v.gone > 0 && v.gone <= q.begun && (q.live == nil || q.live == v.goneBy):
		return false, false
	case v.doubt:
		_, possible = v.within(q)
		return false, possible
	}
	return v.within(q)
}

// within is in for a value that was not deleted.
func (v *value) within(q *question) (certain, possible bool) {
	switch {
	case q.to-q.from >= int64(far):
		return true, true
	case q.live != nil && v.node != q.of:
		return false, false
	case q.live != nil && v.latest < q.from-int64(tick)-2*slack && !v.loose:
		return false, false
	case q.live != nil:
		return v.earliest >= q.from && !v.loose, true
	case v.loose || !v.acked:
		return false, true
	}
	last := q.to
	if q.provisional { // an open tick is in the answer as a whole if its first value is
		last += int64(tick) + slack
	}
	return v.earliest >= q.from && v.latest < q.to, v.latest >= q.from && v.earliest < last
}

// begin notes what an answer must hold.
func (m *model) begin(q question) question {
	m.mu.Lock()
	defer m.mu.Unlock()
	q.begun = m.events
	for id, v := range m.values {
		if certain, _ := v.in(&q); certain && v.acked && (q.of == nil || q.of == v.node) && (q.live == nil || q.live == v.process) {
			q.certain = append(q.certain, id)
		}
	}
	return q
}

// check compares an answer with a question. A partial answer may lack values; none may be in it that must not be, or
// be twice.
func (m *model) check(q question, got ids, partial bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	got = slices.Clone(got)
	slices.Sort(got)
	for i, id := range got {
		if i > 0 && got[i-1] == id {
			return fmt.Errorf("value %d is in the answer twice", id)
		}
		if id < 0 || id >= len(m.values) {
			return fmt.Errorf("value %d was never sent", id)
		}
		if _, possible := m.values[id].in(&q); !possible {
			return fmt.Errorf("value %d must not be in the answer of %d to %d: %+v", id, q.from, q.to, *m.values[id])
		}
	}
	for _, id := range q.certain {
		still, _ := m.values[id].in(&q) // a deletion has begun, or a restart has ended its tick later
		if _, found := slices.BinarySearch(got, id); !found && !partial && still {
			return fmt.Errorf("value %d is missing in the answer of %d to %d, and nothing says so: %+v", id, q.from, q.to, *m.values[id])
		}
	}
	return nil
}

// checkStored compares all that is stored of a tenant with what was acknowledged, once everything is delivered. Values
// may be missing only where the answer names what is.
func (m *model) checkStored(w *world, tenant string, got ids, missing int) {
	q := m.begin(question{tenant: tenant, from: w.begun.Add(-far).UnixNano(), to: w.begun.Add(far).UnixNano()})
	if err := m.check(q, got, missing > 0); err != nil {
		w.Errorf("seed %d: stored of tenant %q: %v", w.seed, tenant, err)
	}
	w.stats.stored.Add(int64(len(got)))
}
