package cache_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/internal/cache"
)

// modelled is what the model knows of a value.
type modelled struct {
	key     string
	value   int
	weight  int64
	uses    int
	expires time.Time
}

// model is S3-FIFO as plain as can be: slices, oldest first.
type model struct {
	max         int64
	ttl         time.Duration
	small, main []modelled
	young, old  []string // evicted
}

func at(queue []modelled, key string) int {
	return slices.IndexFunc(queue, func(e modelled) bool { return e.key == key })
}

func weight(queue []modelled) (n int64) {
	for _, e := range queue {
		n += e.weight
	}
	return n
}

func (m *model) find(key string) *modelled {
	for _, queue := range []*[]modelled{&m.small, &m.main} {
		if i := at(*queue, key); i >= 0 {
			return &(*queue)[i]
		}
	}
	return nil
}

func (m *model) remove(key string) {
	is := func(e modelled) bool { return e.key == key }
	m.small, m.main = slices.DeleteFunc(m.small, is), slices.DeleteFunc(m.main, is)
}

func (m *model) get(key string, now time.Time) (int, bool) {
	e := m.find(key)
	if e == nil {
		return 0, false
	}
	if m.ttl > 0 && !now.Before(e.expires) {
		m.remove(key)
		return 0, false
	}
	e.uses = min(e.uses+1, 3)
	return e.value, true
}

func (m *model) add(e modelled) {
	home := &m.small
	is := func(key string) bool { return key == e.key }
	if old := m.find(e.key); old != nil {
		e.uses = old.uses
		if at(m.main, e.key) >= 0 {
			home = &m.main
		}
	} else if slices.ContainsFunc(m.young, is) || slices.ContainsFunc(m.old, is) {
		m.young, m.old = slices.DeleteFunc(m.young, is), slices.DeleteFunc(m.old, is)
		home = &m.main
	}
	m.remove(e.key)
	if e.weight > m.max {
		return
	}
	for m.bytes()+e.weight > m.max {
		m.step()
	}
	*home = append(*home, e)
}

// step moves or evicts the oldest value of a queue.
func (m *model) step() {
	if 10*weight(m.small) <= m.max && len(m.main) > 0 {
		e := m.main[0]
		m.main = m.main[1:]
		if e.uses > 0 {
			e.uses--
			m.main = append(m.main, e)
		}
		return
	}
	e := m.small[0]
	m.small = m.small[1:]
	if e.uses >= 2 {
		e.uses = 0
		m.main = append(m.main, e)
		return
	}
	if len(m.young) >= (len(m.small)+len(m.main))/2 {
		m.young, m.old = nil, m.young
	}
	m.young = append(m.young, e.key)
}

func (m *model) bytes() int64 { return weight(m.small) + weight(m.main) }

// TestModel compares random operations with the plain queues, exactly.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		clk := &clock{now: time.Unix(0, 0)}
		m := &model{max: rapid.Int64Range(1, 100).Draw(rt, "max"), ttl: time.Duration(rapid.IntRange(0, 5).Draw(rt, "ttl"))}
		c := open(t, m.max, &cache.Options{TTL: m.ttl, Now: clk.read})
		key := rapid.StringMatching("[a-p]")
		rt.Repeat(map[string]func(*rapid.T){
			"add": func(rt *rapid.T) {
				e := modelled{key: key.Draw(rt, "key"), value: rapid.Int().Draw(rt, "value"),
					weight: rapid.Int64Range(1, 30).Draw(rt, "weight"), expires: clk.now.Add(m.ttl)}
				c.Add(e.key, e.value, e.weight)
				m.add(e)
			},
			"get": func(rt *rapid.T) {
				k := key.Draw(rt, "key")
				want, held := m.get(k, clk.now)
				if v := c.Get(k); (v != nil) != held || held && *v != want {
					rt.Fatalf("Get(%q) = %v; want %v, %v", k, v, want, held)
				}
			},
			"remove": func(rt *rapid.T) {
				k := key.Draw(rt, "key")
				c.Remove(k)
				m.remove(k)
			},
			"wait": func(rt *rapid.T) { clk.now = clk.now.Add(time.Duration(rapid.IntRange(1, 3).Draw(rt, "ns"))) },
			"": func(rt *rapid.T) {
				if c.Bytes() != m.bytes() || c.Len() != len(m.small)+len(m.main) {
					rt.Fatalf("%d values of %d bytes, want %d of %d", c.Len(), c.Bytes(), len(m.small)+len(m.main), m.bytes())
				}
			},
		})
	})
}
