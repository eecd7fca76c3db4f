// Package programs runs random programs on collectors and their stores, and
// compares every answer with a plain model.
//
// PROGRAMS is how many programs each test runs; SEED is the first one's seed
// where tests are seeded. A failure prints the program.
package programs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/bucket/internal/idstest"
	"github.com/timeblob/timeblob/remote"
	"github.com/timeblob/timeblob/tiered"
)

// step is one operation: a kind, and numbers from which its arguments are chosen.
type step struct {
	Kind    string
	A, B, C int
}

// kinds are the operations, the frequent ones several times.
var kinds = []string{"add", "add", "add", "past", "past", "burst", "burst", "id", "delete", "delete tenant", "flush", "flush", "flush all", "seal", "restart", "wait",
	"roll up", "roll up", "roll up", "roll up part", "roll up part", "roll up and flush", "lose", "range", "range", "at", "has", "steps", "values", "many", "tenants", "querier", "querier"}

var programs = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
	n := rapid.IntRange(0, 999)
	return step{rapid.SampledFrom(kinds).Draw(t, "kind"), n.Draw(t, "a"), n.Draw(t, "b"), n.Draw(t, "c")}
}), 5, 60)

// machine runs a program.
type machine struct {
	rapid.TB
	ctx        context.Context
	world      world
	now        time.Time
	collectors []member
	model      model
	added      int
	first      int64 // the earliest instant of a value so far, Unix nanoseconds
	lost       bool  // a roll-up's blob was lost
}

type ids = idstest.IDs

var tenants = []string{"a", "b"}

// runProgram runs a program in a world.
func runProgram(t rapid.TB, w world, program []step) {
	m := newMachine(t, w, start)
	defer m.stopAll()
	for n, s := range program {
		m.now = m.now.Add(time.Millisecond)
		if err := m.do(s); err != nil {
			t.Fatalf("step %d, %+v: %v\nthe program was %+v", n, s, err, program[:n+1])
		}
	}
}

// newMachine starts the members of a world.
func newMachine(t rapid.TB, w world, now time.Time) *machine {
	m := &machine{TB: t, ctx: context.Background(), world: w, now: now, first: now.UnixNano(), collectors: make([]member, w.members)}
	m.model.ids, m.model.sealed = make([]map[string]bool, w.members), make([]int64, w.members)
	for i := range m.collectors {
		m.start(i)
	}
	if err := m.rollUp(0, "a", false); err != nil { // publishes the settings of levels
		t.Fatal(err)
	}
	return m
}

func (m *machine) stopAll() {
	for i := range m.collectors {
		m.stop(i)
	}
}

func (m *machine) start(i int) {
	m.collectors[i] = m.world.start(m.TB, i, func() time.Time { return m.now })
	m.model.ids[i], m.model.sealed[i] = make(map[string]bool), m.now.UnixNano()
}

func (m *machine) stop(i int) {
	if err := m.collectors[i].Close(m.ctx); err != nil {
		m.Fatal(err)
	}
	m.sealed(i)
}

// sealed notes that a collector's ticks ended.
func (m *machine) sealed(i int) {
	m.model.seal(i, "*", m.now.UnixNano())
	m.model.sealed[i] = m.now.UnixNano()
}

// do does one step.
func (m *machine) do(s step) error {
	i, tenant := s.A%len(m.collectors), tenants[s.B%len(tenants)]
	switch s.Kind {
	case "add":
		return m.add(i, value{tenant: tenant, open: true}, nil)
	case "past":
		at := m.instant(s.C)
		return m.add(i, value{tenant: tenant, at: at}, &bucket.AddOptions{At: time.Unix(0, at)})
	case "burst":
		at := m.instant(s.C)
		for n := range int64(5) {
			if err := m.add(i, value{tenant: tenant, at: at - n*7e9}, &bucket.AddOptions{At: time.Unix(0, at-n*7e9)}); err != nil {
				return err
			}
		}
		defer m.sealed(i)
		return m.collectors[i].Flush(m.ctx)
	case "id":
		return m.addWithID(i, tenant, "id-"+strconv.Itoa(s.C%5))
	case "flush":
		defer m.sealed(i)
		return m.collectors[i].Flush(m.ctx)
	case "flush all":
		return m.flushAll()
	case "seal":
		return m.seal(i)
	case "restart":
		m.stop(i)
		m.now = m.now.Add(time.Millisecond)
		m.start(i)
		return nil
	case "wait":
		return m.wait(time.Duration(s.C%40) * time.Hour)
	case "roll up":
		m.now = m.now.Add(time.Duration(3+s.C%30*(s.A%30)) * time.Minute)
		return m.rollUp(i, tenant, s.B%5 == 0)
	case "roll up part":
		m.now = m.now.Add(time.Duration(s.B) * time.Minute)
		from, to := m.span(s)
		return m.rollUpBetween(i, tenant, time.Unix(0, from), time.Unix(0, max(to, from+1)), false)
	case "lose":
		return m.lose(s.C)
	case "roll up and flush":
		return m.rollUpAndFlush(tenant)
	case "delete":
		from, to := m.span(s)
		return m.delete(i, tenant, from, to)
	case "delete tenant":
		return m.deleteTenant(i, tenant)
	}
	return m.ask(s, i, tenant)
}

func (m *machine) add(i int, v value, opts *bucket.AddOptions) error {
	m.added++
	if v.id, v.owner = m.added, i; !v.open {
		m.first = min(m.first, v.at)
	}
	m.model.values = append(m.model.values, v)
	return m.collectors[i].Add(m.ctx, v.tenant, ids{v.id}, opts)
}

func (m *machine) addWithID(i int, tenant, id string) error {
	known := m.model.ids[i]
	if known[tenant+id] {
		return m.collectors[i].Add(m.ctx, tenant, ids{-1}, &bucket.AddOptions{ID: id})
	}
	known[tenant+id] = true
	return m.add(i, value{tenant: tenant, open: true}, &bucket.AddOptions{ID: id})
}

// seal ends the open ticks and stores nothing.
func (m *machine) seal(i int) error {
	ended, end := context.WithCancel(m.ctx)
	end()
	err := m.collectors[i].Flush(ended)
	m.sealed(i)
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// wait lets time pass, with no open tick, and forgets ids that collectors forget.
func (m *machine) wait(d time.Duration) error {
	for i := range m.collectors {
		if err := m.seal(i); err != nil {
			return err
		}
		m.model.ids[i] = make(map[string]bool)
	}
	m.now = m.now.Add(d + hours) // past the window of all ids
	for i := range m.collectors {
		if err := m.seal(i); err != nil {
			return err
		}
	}
	return nil
}

// rollUp builds a tenant's roll-ups of the last twenty days, or verifies them. It leaves out the days before the first
// value: each costs hundreds of requests that find nothing.
func (m *machine) rollUp(i int, tenant string, verify bool) error {
	from := max(m.first-int64(day), m.now.Add(-20*day).UnixNano())
	return m.rollUpBetween(i, tenant, time.Unix(0, from), m.now, verify && !m.lost)
}

func (m *machine) rollUpBetween(i int, tenant string, from, to time.Time, verify bool) error {
	if m.world.mode.Off {
		return nil
	}
	return m.collectors[i].RollUpBetween(m.ctx, tenant, from, to, verify)
}

// rollUpTogether has all collectors build at the same time.
func (m *machine) rollUpTogether(tenant string) error {
	return m.together(func(i int) error { return m.rollUp(i, tenant, false) })
}

// together does something with all collectors at the same time.
func (m *machine) together(do func(i int) error) error {
	errs := make([]error, len(m.collectors))
	var doing sync.WaitGroup
	for i := range m.collectors {
		doing.Go(func() { errs[i] = do(i) })
	}
	doing.Wait()
	return errors.Join(errs...)
}

// rollUpAndFlush has all collectors build while they store.
func (m *machine) rollUpAndFlush(tenant string) error {
	m.now = m.now.Add(time.Duration(len(m.model.values)) * time.Minute)
	var building sync.WaitGroup
	var built error
	building.Go(func() { built = m.rollUpTogether(tenant) })
	err := m.flushAll()
	building.Wait()
	return errors.Join(built, err)
}

// lose removes the blob of a roll-up, if there is one, from the authority.
func (m *machine) lose(n int) error {
	keys, err := m.world.stores().rollUps(m.ctx)
	if err != nil || len(keys) == 0 {
		return err
	}
	m.lost = true
	return m.world.stores().authority.(tiered.Deleter).Delete(m.ctx, []string{keys[n%len(keys)]})
}

// delete deletes by one collector, after the others have stored what they hold.
func (m *machine) delete(i int, tenant string, from, to int64) error {
	if err := m.flushOthers(i); err != nil {
		return err
	}
	_, err := m.collectors[i].Delete(m.ctx, tenant, time.Unix(0, from), time.Unix(0, to), &bucket.DeleteOptions{Wait: -1})
	m.model.seal(i, tenant, m.now.UnixNano())
	m.model.remove(tenant, from, to)
	return err
}

func (m *machine) deleteTenant(i int, tenant string) error {
	if err := m.flushOthers(i); err != nil {
		return err
	}
	_, err := m.collectors[i].DeleteTenant(m.ctx, tenant, &bucket.DeleteOptions{Wait: -1})
	m.model.seal(i, tenant, m.now.UnixNano())
	m.model.remove(tenant, start.Add(-10000*time.Hour).UnixNano(), m.now.Add(time.Hour).UnixNano())
	return err
}

func (m *machine) flushOthers(i int) error {
	for other, c := range m.collectors {
		if other != i {
			if err := c.Flush(m.ctx); err != nil {
				return err
			}
			m.sealed(other)
		}
	}
	return nil
}

// instant chooses a past instant: one that is or was in use, or any.
func (m *machine) instant(n int) int64 {
	if used := m.model.instants(); len(used) > 0 && n%2 == 0 {
		return used[n%len(used)]
	}
	return m.now.Add(-time.Duration(n) * time.Minute).Truncate(time.Millisecond).UnixNano()
}

// span chooses a range. An instant that is taken moves a value by microseconds,
// so that ranges begin and end in the middle of a millisecond. They end before
// every open tick, or past the present.
func (m *machine) span(s step) (from, to int64) {
	const half = int64(time.Millisecond / 2)
	used := append(m.model.instants(), m.model.quiet()-int64(time.Millisecond))
	from = used[s.C%len(used)] - half
	to = used[(s.A+s.C)%len(used)] + half
	from, to = min(from, to), max(from, to)
	if to = min(to, m.model.quiet()); s.A%3 == 0 {
		to = m.now.Add(time.Hour).UnixNano()
	}
	return min(from, to), to
}

// ask asks one question, and compares.
func (m *machine) ask(s step, i int, tenant string) error {
	from, to := m.span(s)
	if len(m.collectors) > 1 && s.Kind != "querier" {
		m.storeOthers(i)
	}
	now := m.now.UnixNano()
	c, begin, end := m.collectors[i], time.Unix(0, from), time.Unix(0, to)
	opts := &bucket.RangeOptions{Partial: s.B%3 == 0}
	want := m.model.between(tenant, from, to, now)
	switch s.Kind {
	case "range":
		a, err := c.RangeMany(m.ctx, []string{tenant}, begin, end, opts)
		return check(a.Value, err, want)
	case "at":
		return m.askAt(c, tenant, s)
	case "has":
		has, err := c.Has(m.ctx, tenant, begin, end)
		if err != nil || has != (len(want) > 0) {
			return fmt.Errorf("has %v, %v; want %v", has, err, want)
		}
		return nil
	case "steps":
		var all ids
		for a, err := range c.Steps(m.ctx, tenant, begin, end, max(end.Sub(begin)/7, 1), opts) {
			if err != nil {
				return err
			}
			all = append(all, a.Value...)
		}
		return check(all, nil, want)
	case "values":
		return m.askValues(c, tenant, begin, end, opts, want)
	case "many":
		a, err := c.RangeMany(m.ctx, tenants, begin, end, opts)
		both := append(m.model.between("a", from, to, now), m.model.between("b", from, to, now)...)
		return check(a.Value, err, both)
	case "tenants":
		return m.askTenants(c)
	}
	return m.askQuerier(s, tenant, begin, end, opts, want)
}

// askTenants asks for the tenants. One without values may still be known.
func (m *machine) askTenants(c member) error {
	got, err := c.Tenants(m.ctx)
	for _, v := range m.model.values {
		if err == nil && !slices.Contains(got, v.tenant) {
			err = fmt.Errorf("tenants %v without %s", got, v.tenant)
		}
	}
	return err
}

// flushAll lets all collectors store at the same time. Their ticks end at the same
// instant.
func (m *machine) flushAll() error {
	err := m.together(func(i int) error { return m.collectors[i].Flush(m.ctx) })
	for i := range m.collectors {
		m.sealed(i)
	}
	return err
}

// storeOthers stores what the other collectors hold: no collector sees it.
func (m *machine) storeOthers(i int) {
	if err := m.flushOthers(i); err != nil {
		m.Fatal(err)
	}
	m.now = m.now.Add(time.Millisecond)
}

func (m *machine) askAt(c member, tenant string, s step) error {
	at := m.model.quiet() - int64(s.C)*int64(time.Minute) - 500
	if len(m.collectors) == 1 && s.A%2 == 0 {
		at = m.now.UnixNano()
	}
	a, err := c.At(m.ctx, tenant, time.Unix(0, at), nil)
	if at == m.now.UnixNano() {
		return check(a.Value, err, m.model.between(tenant, at-int64(hours)+1, at+1, at))
	}
	return check(a.Value, err, m.model.between(tenant, at-int64(hours), at, m.now.UnixNano()))
}

func (m *machine) askValues(c member, tenant string, from, to time.Time, opts *bucket.RangeOptions, want []int) error {
	var all ids
	var last time.Time
	for v, err := range c.Values(m.ctx, tenant, from, to, opts) {
		if err = errors.Join(err, v.Err); err != nil {
			return err
		}
		if v.Time.Before(last) {
			return fmt.Errorf("a value of %v after one of %v", v.Time, last)
		}
		last, all = v.Time, append(all, v.Value...)
	}
	return check(all, nil, want)
}

// everywhere returns the questions of a querier over all collectors.
func (m *machine) everywhere() *remote.Everywhere[ids] {
	return remote.Across(m.world.querier(m.TB, func() time.Time { return m.now }), func() (sources []bucket.Source[ids]) {
		for _, c := range m.collectors {
			sources = append(sources, c)
		}
		return sources
	})
}

// askQuerier asks a querier over all collectors.
func (m *machine) askQuerier(s step, tenant string, from, to time.Time, opts *bucket.RangeOptions, want []int) error {
	everywhere := m.everywhere()
	switch s.B % 4 {
	case 0:
		has, err := everywhere.Has(m.ctx, tenant, from, to)
		if err == nil && has != (len(want) > 0) {
			err = fmt.Errorf("has %v; want %v", has, want)
		}
		return err
	case 1:
		var all ids
		for a, err := range everywhere.Steps(m.ctx, tenant, from, to, max(to.Sub(from)/7, 1), opts) {
			if err != nil {
				return err
			}
			all = append(all, a.Value...)
		}
		return check(all, nil, want)
	case 2:
		got, err := everywhere.Tenants(m.ctx)
		if err == nil && len(want) > 0 && !slices.Contains(got, tenant) {
			err = fmt.Errorf("tenants %v without %s", got, tenant)
		}
		return err
	}
	a, err := everywhere.Range(m.ctx, tenant, from, to, opts)
	if len(a.Missing) > 0 {
		return fmt.Errorf("missing %v", a.Missing)
	}
	return check(a.Value, err, want)
}

func check(got ids, err error, want []int) error {
	got, want = slices.Clone(got), slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		return fmt.Errorf("got %v, %v; want %v", got, err, want)
	}
	return nil
}

// count is how many programs a test runs.
func count(t *testing.T, usual int) int {
	n, err := strconv.Atoi(os.Getenv("PROGRAMS"))
	if err != nil {
		return usual
	}
	return n
}

// seeded runs what follows from seeds, which a failure prints.
func seeded(t *testing.T, n int, run func(t *testing.T, seed int)) {
	first, _ := strconv.Atoi(os.Getenv("SEED"))
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprintf("SEED=%d", seed), func(t *testing.T) { run(t, seed) })
	}
}
