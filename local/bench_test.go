package local

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/timeblob/timeblob/tiered/tiertest"
)

// BenchmarkCommit commits from 1 and from 64 goroutines at once, as a
// collector does that flushes 64 tenants.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{20 << 10, 200 << 10} {
		for _, parallel := range []int{1, 64} {
			b.Run(fmt.Sprintf("size=%dk/parallel=%d", size>>10, parallel), func(b *testing.B) {
				benchmarkCommit(b, size, parallel)
			})
		}
	}
}

func benchmarkCommit(b *testing.B, size, parallel int) {
	db := openIn(b, b.TempDir(), nil)
	blob := noise("t", 0, size)
	var n atomic.Int64
	b.SetBytes(int64(size))
	b.ReportAllocs()
	work := make(chan struct{})
	errs := make(chan error, parallel)
	for w := range parallel {
		go func() { errs <- commitEach(db, fmt.Sprintf("t%d", w), work, &n, blob) }()
	}
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	for range parallel {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
}

func commitEach(db *DB, tenant string, work <-chan struct{}, n *atomic.Int64, blob []byte) error {
	for range work {
		row, e, _ := sample(tenant, n.Add(1)*3e9, 0)
		if err := db.Commit(context.Background(), row, e, blob); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkQuery asks for a whole row of 1200 entries, one every 3 s.
func BenchmarkQuery(b *testing.B) {
	db := openIn(b, b.TempDir(), &Options{NoSync: true})
	for n := range int64(1200) {
		commit(b, db, "t", n*3e9, 100)
	}
	if err := db.engine.pebble.Flush(); err != nil {
		b.Fatal(err)
	}
	row, _, _ := sample("t", 0, 0)
	b.ReportAllocs()
	for b.Loop() {
		if found, err := db.Index().Query(b.Context(), row, 0, hour); err != nil || len(found) != 1200 {
			b.Fatal(len(found), err)
		}
	}
}

// BenchmarkGet fetches the blobs of a 15 s and of a minute's window, from
// tables and value files in the page cache of the operating system.
func BenchmarkGet(b *testing.B) {
	const size = 20 << 10
	db := openIn(b, b.TempDir(), &Options{NoSync: true})
	var keys []string
	for n := range int64(1200) {
		commit(b, db, "t", n*3e9, size)
		_, e, _ := sample("t", n*3e9, 0)
		keys = append(keys, e.Key)
	}
	if err := db.engine.pebble.Flush(); err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{5, 20} {
		b.Run(fmt.Sprintf("blobs=%d", n), func(b *testing.B) { benchmarkGet(b, db, keys, n, size) })
	}
}

func benchmarkGet(b *testing.B, db *DB, keys []string, n, size int) {
	b.SetBytes(int64(n * size))
	b.ReportAllocs()
	for at := 0; b.Loop(); at = (at + n) % (len(keys) - n) {
		if found, err := tiertest.Found(b.Context(), db.Blobs(), keys[at:at+n]); err != nil || len(found) != n {
			b.Fatal(len(found), err)
		}
	}
}

// BenchmarkDay writes a day of 16 tenants, a blob of 20 kB each every 36 s, and
// says how many bytes the process wrote for each byte of blob, the log, flushes
// and compactions so far included.
func BenchmarkDay(b *testing.B) {
	const tenants, entries, size = 16, 2400, 20 << 10
	const payload = tenants * entries * size
	for b.Loop() {
		db := openIn(b, b.TempDir(), &Options{NoSync: true})
		before := written(b)
		for n := range int64(entries) {
			for w := range tenants {
				commit(b, db, strings.Repeat("t", w+1), n*36e9, size)
			}
		}
		b.ReportMetric(float64(written(b)-before)/payload, "written/byte")
	}
}

// written returns how many bytes this process has written, where the system
// says so (Linux).
func written(b *testing.B) (n int64) {
	b.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip(err)
	}
	if _, err := fmt.Sscanf(string(text), "rchar: %d\nwchar: %d", &n, &n); err != nil {
		b.Fatal(err)
	}
	return n
}
