package journal

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestModel does random things to a journal with tiny segments, and compares
// it with a map.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		m := &model{files: &faulty{}, t: t, r: r, dir: t.TempDir(), live: make(map[uint64]string), doubtful: make(map[uint64]string)}
		m.opts = &Options{files: m.files, SegmentBytes: 600, MaxBytes: 6000, Sync: Sync(rapid.IntRange(0, 2).Draw(r, "sync"))}
		m.open()
		defer func() { _ = m.j.Close() }()
		r.Repeat(map[string]func(*rapid.T){
			"append": m.append,
			"end":    m.end,
			"reopen": m.reopen,
			"crash":  m.crash,
			"":       m.check,
		})
	})
}

type model struct {
	t        *testing.T
	r        *rapid.T
	dir      string
	opts     *Options
	files    *faulty
	j        *Journal
	live     map[uint64]string // not done
	doubtful map[uint64]string // done since Open: a crash may bring them back
	n        int
}

func (m *model) open() {
	j, err := Open(m.dir, m.opts)
	if err != nil {
		m.r.Fatal(err)
	}
	m.j = j
}

func (m *model) append(r *rapid.T) {
	m.n++
	blob := fmt.Sprint(m.n, strings.Repeat("b", rapid.IntRange(0, 700).Draw(r, "size")))
	id, err := m.j.Append(context.Background(), 1, []byte("m"), []byte(blob))
	if err == nil {
		if _, used := m.live[id]; used {
			r.Fatalf("number %d was given twice", id)
		}
		m.live[id] = record(id, blob)
	} else if _, full := err.(*FullError); !full {
		r.Fatal(err)
	}
}

func (m *model) end(r *rapid.T) {
	if len(m.live) == 0 {
		r.Skip("nothing is there")
	}
	ids := slices.Sorted(maps.Keys(m.live))
	id := rapid.SampledFrom(ids).Draw(r, "id")
	m.doubtful[id] = m.live[id]
	delete(m.live, id)
	m.j.End(id)
}

func (m *model) reopen(r *rapid.T) {
	if err := m.j.Close(); err != nil {
		r.Fatal(err)
	}
	clear(m.doubtful)
	m.open()
	m.intact(r)
}

// crash goes on with the files as they are at a moment, and, by chance, with
// something torn at the end.
func (m *model) crash(r *rapid.T) {
	dir := m.files.crash(m.t, m.dir)
	if err := m.j.Close(); err != nil {
		r.Fatal(err)
	}
	names := logs(m.t, dir)
	if torn := rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(r, "torn"); len(names) > 0 && len(torn) > 0 {
		last := names[len(names)-1]
		writeFile(m.t, last, append(readFile(m.t, last), torn...))
	}
	m.dir = dir
	m.open()
	m.intact(r)
	for _, got := range undone(m.t, m.j) {
		var id uint64
		fmt.Sscanf(got, "%d=", &id)
		if m.doubtful[id] == got {
			m.live[id] = got
		}
	}
	clear(m.doubtful)
}

// intact fails for any damage but what crash has done.
func (m *model) intact(r *rapid.T) {
	for _, d := range m.j.Damage() {
		if !d.Torn {
			r.Fatal(d)
		}
	}
}

func (m *model) check(r *rapid.T) {
	want := make([]string, 0, len(m.live))
	for _, id := range slices.Sorted(maps.Keys(m.live)) {
		want = append(want, m.live[id])
	}
	if got := undone(m.t, m.j); !slices.Equal(got, want) {
		r.Fatalf("got %.300q, want %.300q", got, want)
	}
	names, err := filepath.Glob(filepath.Join(m.dir, "*"))
	if err != nil || len(names) > 60 {
		r.Fatalf("%d files: %v", len(names), err)
	}
}
