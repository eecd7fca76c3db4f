package indextest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/index"
)

// rounds gives every random case rows of its own, also when several tests of
// one process share a store.
var rounds atomic.Int64

// model is what the index should hold, in the plainest form.
type model struct {
	index index.Index
	rows  [2]index.Row
	held  [2]map[int64]string
}

// testRandomOperations compares the index with a map after random puts and
// queries on few instants of two neighbouring rows.
func testRandomOperations(t *testing.T, x index.Index) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{index: x}
		tenant := fmt.Sprintf("random-%d", rounds.Add(1))
		for i := range m.rows {
			m.rows[i] = index.Row{Tenant: tenant, Hour: int64(i) - 1}
			m.held[i] = make(map[int64]string)
		}
		for range rapid.IntRange(1, 12).Draw(rt, "operations") {
			m.step(rt)
		}
		for i, row := range m.rows {
			expectAll(rt, x, row, m.find(i, math.MinInt64, math.MaxInt64))
		}
	})
}

func (m *model) step(rt *rapid.T) {
	r := rapid.IntRange(0, 1).Draw(rt, "row")
	near := rapid.Int64Range(0, 5)
	if rapid.IntRange(0, 3).Draw(rt, "query if 0") == 0 {
		from := m.rows[r].Start() + near.Draw(rt, "from") - 1
		to := from + near.Draw(rt, "length")
		expect(rt, m.index, m.rows[r], from, to, m.find(r, from, to))
		return
	}
	e := index.Entry{Time: m.rows[r].Start() + near.Draw(rt, "instant"), Key: rapid.StringMatching("[a-c]").Draw(rt, "key")}
	err := m.index.Put(context.Background(), m.rows[r], e)
	if _, taken := m.held[r][e.Time]; taken {
		if !errors.Is(err, index.ErrExists) {
			rt.Fatalf("put of the taken instant %d: got error %v, want ErrExists", e.Time, err)
		}
		return
	}
	if err != nil {
		rt.Fatalf("put of the free instant %d: %v", e.Time, err)
	}
	m.held[r][e.Time] = e.Key
}

// find answers a query from the map.
func (m *model) find(r int, from, to int64) (entries []index.Entry) {
	for _, t := range slices.Sorted(maps.Keys(m.held[r])) {
		if t >= from && t < to {
			entries = append(entries, index.Entry{Time: t, Key: m.held[r][t]})
		}
	}
	return entries
}
