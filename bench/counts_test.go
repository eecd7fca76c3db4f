package bench

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	ref "github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/racetest"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/tiered"
)

var writeCounts = flag.Bool("write-counts", false, "write the counted figures to counts.txt")

// figures are what one run counted.
type figures struct {
	names []string
	of    map[string]float64
}

func (f *figures) add(name string, n float64) {
	f.names = append(f.names, name)
	f.of[name] = n
}

// TestCounts compares figures that do not depend on the machine's speed (allocations, merges, fetched keys, requests)
// with counts.txt. It fails when one grew. Allocations may exceed their row by 2 % and a half, because a collection of
// garbage empties pools. After a wanted change, and when a figure has shrunk:
//
//	go test -run TestCounts ./bench -write-counts
func TestCounts(t *testing.T) {
	if racetest.Enabled {
		t.Skip("the race detector allocates; scripts/test runs this test without it")
	}
	got := &figures{of: make(map[string]float64)}
	countCodec(t, got)
	countMemory(t, got)
	countReadThrough(t, got)
	countWindow(t, got)
	countRange(t, got)
	countCold(t, got)
	countSliding(t, got)
	countDirectory(t, got)
	countPost(t, got)
	if *writeCounts {
		must(t, os.WriteFile("counts.txt", []byte(got.table()), 0o644))
	}
	text, err := os.ReadFile("counts.txt")
	must(t, err)
	for _, fault := range got.beside(string(text)) {
		t.Error(fault)
	}
}

func (f *figures) table() string {
	var b strings.Builder
	for _, name := range f.names {
		fmt.Fprintf(&b, "%10.0f  %s\n", math.Ceil(f.of[name]), name)
	}
	return b.String()
}

// beside compares the figures with a table, and returns what is wrong.
func (f *figures) beside(table string) (faults []string) {
	rows := make(map[string]float64)
	for line := range strings.Lines(table) {
		number, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		var limit float64
		if _, err := fmt.Sscan(number, &limit); err != nil {
			faults = append(faults, fmt.Sprintf("counts.txt: %q has no number", line))
		}
		rows[name] = limit
	}
	for _, name := range f.names {
		limit, ok := rows[name]
		delete(rows, name)
		switch n := f.of[name]; {
		case !ok:
			faults = append(faults, fmt.Sprintf("counts.txt has no row %q: it is %.0f", name, n))
		case n > limit && !(strings.HasPrefix(name, "allocations") && n <= limit*1.02+0.5):
			faults = append(faults, fmt.Sprintf("%s: %.1f, and counts.txt says at most %.0f", name, n, limit))
		}
	}
	for name := range rows {
		faults = append(faults, fmt.Sprintf("counts.txt has a row %q that nothing counts", name))
	}
	return faults
}

// TestCountsNoticeGrowth checks what TestCounts lets pass.
func TestCountsNoticeGrowth(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		table  string
		faults int
	}{
		{"100  allocations\n 5  merges\n", 0},
		{"99  allocations\n 6  merges\n", 0},
		{"97  allocations\n 5  merges\n", 1},
		{"", 2},
		{"100  allocations\n 4  merges\n", 1},
		{"100  allocations\n", 1},
		{"100  allocations\n 5  merges\n 7  fetches\n", 1},
		{"many  allocations\n 5  merges\n", 2},
	} {
		f := &figures{of: make(map[string]float64)}
		f.add("allocations", 100)
		f.add("merges", 5)
		if got := f.beside(tc.table); len(got) != tc.faults {
			t.Errorf("%q: %q, want %d faults", tc.table, got, tc.faults)
		}
	}
}

func countCodec(t *testing.T, f *figures) {
	for _, from := range []string{node, hosts} {
		all, values := blobs(t, from), decoded(t, from)
		n := float64(len(all))
		f.add("allocations: decode a report of "+from, testing.AllocsPerRun(5, func() {
			each(t, all, func(blob []byte) { decode(t, blob) })
		})/n)
		f.add("allocations: examine a report of "+from, testing.AllocsPerRun(5, func() {
			each(t, all, func(blob []byte) {
				_, err := wire.Codec{}.Examine(blob)
				must(t, err)
			})
		})/n)
		f.add("allocations: encode a report of "+from, testing.AllocsPerRun(5, func() {
			each(t, values, func(r *report.Report) { encode(t, r) })
		})/n)
		f.add(fmt.Sprintf("allocations: merge %.0f reports of %s", n, from), testing.AllocsPerRun(5, func() {
			_, err := report.Merge(values)
			must(t, err)
		}))
	}
}

// rawCodec keeps blobs as they are.
type rawCodec struct{}

func (rawCodec) Encode(v []byte) ([]byte, error) { return v, nil }
func (rawCodec) Decode(b []byte) ([]byte, error) { return b, nil }

func refs(from, to int) (all []ref.Ref) {
	for i := from; i < to; i++ {
		all = append(all, ref.Ref{Key: fmt.Sprint("key-", i)})
	}
	return all
}

// slowTier answers every key, after a while, and counts keys and calls.
type slowTier struct{ calls, keys atomic.Int64 }

func (s *slowTier) Get(_ context.Context, keys []string) ([][]byte, error) {
	s.calls.Add(1)
	s.keys.Add(int64(len(keys)))
	time.Sleep(time.Second)
	blobs := make([][]byte, len(keys))
	for i := range blobs {
		blobs[i] = []byte{1}
	}
	return blobs, nil
}

func (*slowTier) Put(context.Context, string, []byte) error { return nil }

func countMemory(t *testing.T, f *figures) {
	synctest.Test(t, func(t *testing.T) {
		s, err := tiered.New(rawCodec{}, &slowTier{}, nil)
		must(t, err)
		all := refs(0, 50)
		_, err = s.Get(t.Context(), all)
		must(t, err)
		f.add("allocations: hit of one key in memory", testing.AllocsPerRun(100, func() { _, _, _ = s.One(t.Context(), all[7]) }))
		f.add("allocations: hit of 50 keys in memory", testing.AllocsPerRun(100, func() { _, _ = s.Get(t.Context(), all) }))
		must(t, s.Close(t.Context()))
	})
}

// countReadThrough has 100 callers ask for the same 50 keys at once; 10 of them are not in memory.
func countReadThrough(t *testing.T, f *figures) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would empty a pool for each of the callers
	synctest.Test(t, func(t *testing.T) {
		tier := &slowTier{}
		s, err := tiered.New(rawCodec{}, tier, nil)
		must(t, err)
		_, err = s.Get(t.Context(), refs(0, 40))
		must(t, err)
		tier.calls.Store(0)
		tier.keys.Store(0)
		next := 100
		const rounds = 5
		allocations := testing.AllocsPerRun(rounds, func() {
			all := append(refs(0, 40), refs(next, next+10)...)
			next += 10
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					if _, err := s.Get(t.Context(), all); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		})
		f.add("allocations: 100 callers read through 50 keys, 10 missing", allocations)
		f.add("keys fetched: 100 callers read through 50 keys, 10 missing", float64(tier.keys.Load())/(rounds+1))
		f.add("fetches: 100 callers read through 50 keys, 10 missing", float64(tier.calls.Load())/(rounds+1))
		must(t, s.Close(t.Context()))
	})
}

// countWindow adds a report to a window, seals it, and asks for the window's value.
func countWindow(t *testing.T, f *figures) {
	all := decoded(t, hosts)
	for _, ticks := range []int{5, 100} {
		merges := 0
		w, err := bucket.NewWindow(time.Duration(ticks)*time.Second, func(parts []*report.Report) (*report.Report, error) {
			merges += len(parts) - 1
			return parts[0], nil
		})
		must(t, err)
		for i := range 10 * ticks {
			if i == 5*ticks {
				merges = 0
			}
			must(t, w.Add(all[i%len(all)]))
			_, err := w.Value()
			must(t, err)
			w.Seal(time.Unix(int64(i), 0))
		}
		f.add(fmt.Sprintf("merges: 100 reports and 100 questions in a window of %d ticks", ticks), float64(merges)*100/float64(5*ticks))
	}
}

// countRange asks for a minute of three hosts: the first time, again, and after a late entry.
func countRange(t *testing.T, f *figures) {
	idx, authority := index.NewMemIndex(), &tiered.MemTier{}
	from := time.Unix(1_699_999_200, 0)
	all := blobs(t, hosts)
	put := func(i int, at int64) {
		row := index.RowAt("a", at)
		must(t, authority.Put(t.Context(), row.BlobKey(at), all[i]))
		must(t, idx.Put(t.Context(), row, index.Entry{Time: at, Key: row.BlobKey(at)}))
	}
	for i := range all {
		put(i, from.Add(time.Duration(i)*time.Second).UnixNano())
	}
	s, err := tiered.New(wire.Codec{}, authority, nil)
	must(t, err)
	q, err := bucket.NewQuantizer(idx, s, report.Merge, &bucket.QuantizerOptions[*report.Report]{Quantum: 15 * time.Second})
	must(t, err)
	for _, question := range []string{"first", "again", "after a late entry"} {
		merged, fetched := q.Stats().Merges, s.Stats().Tiers[1].Hits
		if question == "after a late entry" {
			put(0, from.Add(time.Second/2).UnixNano())
		}
		_, err := q.Range(t.Context(), "a", from, from.Add(time.Minute), nil)
		must(t, err)
		f.add("merges: a minute of three hosts, "+question, float64(q.Stats().Merges-merged))
		f.add("keys fetched: a minute of three hosts, "+question, float64(s.Stats().Tiers[1].Hits-fetched))
	}
	must(t, s.Close(t.Context()))
}

// countCold asks about 15 s of 15 reports of a large node when nothing is kept in memory.
func countCold(t *testing.T, f *figures) {
	idx, authority := index.NewMemIndex(), new(countedTier)
	from := time.Unix(1_699_999_200, 0)
	all := blobs(t, node)
	for i := range windowTicks {
		at := from.Add(time.Duration(i) * time.Second).UnixNano()
		row := index.RowAt("a", at)
		must(t, authority.Put(t.Context(), row.BlobKey(at), all[i%len(all)]))
		must(t, idx.Put(t.Context(), row, index.Entry{Time: at, Key: row.BlobKey(at)}))
	}
	s, err := tiered.New(wire.Codec{}, authority, &tiered.Options[*report.Report]{Memory: -1})
	must(t, err)
	q, err := bucket.NewQuantizer(idx, s, report.Merge, &bucket.QuantizerOptions[*report.Report]{CacheBytes: -1})
	must(t, err)
	_, err = q.Range(t.Context(), "a", from, from.Add(windowTicks*time.Second), nil)
	must(t, err)
	f.add("keys fetched: 15 s of 15 reports, nothing in memory", float64(authority.keys.Load()))
	f.add("fetches: 15 s of 15 reports, nothing in memory", float64(authority.gets.Load()))
	must(t, s.Close(t.Context()))
}

// countSliding asks about 15 s of 15 reports in memory: again, and moved by a tick.
func countSliding(t *testing.T, f *figures) {
	s := newSliding(t, time.Minute)
	s.ask()
	before := s.q.Stats()
	f.add("allocations: 15 s of 15 reports in memory, again", testing.AllocsPerRun(20, s.ask))
	f.add("merges: 15 s of 15 reports in memory, again", float64(s.q.Stats().Merges-before.Merges))
	before = s.q.Stats()
	s.move(3 * time.Second)
	s.ask()
	f.add("merges: 15 s of 15 reports in memory, moved by a tick", float64(s.q.Stats().Merges-before.Merges))
	f.add("keys fetched: 15 s of 15 reports in memory, moved by a tick", float64(s.q.Stats().Blobs-before.Blobs))
}

// countDirectory reads blobs from a directory.
func countDirectory(t *testing.T, f *figures) {
	db, err := local.Open(t.TempDir(), &local.Options{NoSync: true})
	must(t, err)
	var keys []string
	for i := range int64(50) {
		row := index.RowAt("a", i*1e9)
		keys = append(keys, row.BlobKey(i*1e9))
		must(t, db.Commit(t.Context(), row, index.Entry{Time: i * 1e9, Key: keys[i]}, make([]byte, 4096)))
	}
	for _, n := range []int{1, 50} {
		f.add(fmt.Sprintf("allocations: get %d blobs from a directory", n), testing.AllocsPerRun(20, func() {
			_, err := db.Blobs().Get(t.Context(), keys[:n])
			must(t, err)
		}))
	}
	must(t, db.Close())
}

// countedTier counts puts, gets, and the keys of gets.
type countedTier struct {
	tiered.MemTier
	puts, gets, keys atomic.Int64
}

func (c *countedTier) Get(ctx context.Context, keys []string) ([][]byte, error) {
	c.gets.Add(1)
	c.keys.Add(int64(len(keys)))
	return c.MemTier.Get(ctx, keys)
}

func (c *countedTier) Put(ctx context.Context, key string, blob []byte) error {
	c.puts.Add(1)
	return c.MemTier.Put(ctx, key, blob)
}

// countedIndex counts writes and reads. It has no levels.
type countedIndex struct {
	index.Index
	writes, reads atomic.Int64
}

func (c *countedIndex) Put(ctx context.Context, row index.Row, e index.Entry) error {
	c.writes.Add(1)
	return c.Index.Put(ctx, row, e)
}

func (c *countedIndex) Query(ctx context.Context, row index.Row, from, to int64) ([]index.Entry, error) {
	c.reads.Add(1)
	return c.Index.Query(ctx, row, from, to)
}

// countPost posts a report for each of many tenants, and 60 reports to one tick, and flushes them.
func countPost(t *testing.T, f *figures) {
	tier, idx := new(countedTier), &countedIndex{Index: index.NewMemIndex()}
	c, err := reports.New(idx, tier, &reports.Options{TenantRate: -1})
	must(t, err)
	all, tenants := blobs(t, hosts), 0
	post := func(tenant int, blob []byte) {
		must(t, c.AddBlob(t.Context(), fmt.Sprint("t", tenant), blob, wire.DefaultMaxBytes, reports.Origin{}))
	}
	next := func() { // other tenants, because reports are remembered by their IDs
		for _, blob := range all {
			tenants++
			post(tenants, blob)
		}
	}
	const runs = 5
	n := float64(len(all))
	f.add("allocations: post a report for a new tenant", testing.AllocsPerRun(runs, next)/n)
	must(t, c.Flush(t.Context()))
	f.add("puts: flush a tenant", float64(tier.puts.Load())/float64(tenants))
	f.add("index writes: flush a tenant", float64(idx.writes.Load())/float64(tenants))
	f.add("index reads: flush a tenant", float64(idx.reads.Load())/float64(tenants))
	f.add("allocations: post a report for a new tenant and flush it", testing.AllocsPerRun(runs, func() {
		next()
		must(t, c.Flush(t.Context()))
	})/n)
	tier.puts.Store(0)
	tenants++
	for _, blob := range all {
		post(tenants, blob)
	}
	must(t, c.Flush(t.Context()))
	f.add(fmt.Sprintf("puts: flush %.0f reports of one tick", n), float64(tier.puts.Load()))
	must(t, c.Close(t.Context()))
}
