//go:build unix

package local

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// BenchmarkGetCPU reads blobs that lie in the page cache: the neighbours in time
// of a random instant. It reports the processor time of a Get, and as x/pread
// how many times the processor time it takes of plain reads of as many bytes
// from a file, with the checksum that the store verifies.
func BenchmarkGetCPU(b *testing.B) {
	for _, of := range []struct{ size, count int }{{4 << 10, 10_000}, {60 << 10, 1000}} {
		db := openIn(b, b.TempDir(), &Options{NoSync: true})
		var keys []string
		for n := range int64(of.count) {
			commit(b, db, "t", n*3e9, of.size)
			_, e, _ := sample("t", n*3e9, 0)
			keys = append(keys, e.Key)
		}
		if err := db.engine.pebble.Flush(); err != nil {
			b.Fatal(err)
		}
		plain := plainFile(b, of.size*of.count)
		for _, n := range []int{1, 50} {
			b.Run(fmt.Sprintf("size=%dk/blobs=%d", of.size>>10, n), func(b *testing.B) {
				benchmarkGetCPU(b, db, keys, n, func(at int) { readPlain(b, plain, at, n, of.size) })
			})
		}
	}
}

func benchmarkGetCPU(b *testing.B, db *DB, keys []string, n int, plain func(at int)) {
	var get, yardstick time.Duration
	b.ReportAllocs()
	for rounds := 0; b.Loop(); rounds++ {
		at := rand.IntN(len(keys) - n)
		start := processorTime(b)
		found, err := db.Blobs().Get(b.Context(), keys[at:at+n])
		between := processorTime(b)
		plain(at)
		get, yardstick = get+between-start, yardstick+processorTime(b)-between
		if err != nil || found[n-1] == nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(get.Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(get)/float64(yardstick), "x/pread")
}

func plainFile(b *testing.B, size int) *os.File {
	b.Helper()
	name := filepath.Join(b.TempDir(), "plain")
	if err := os.WriteFile(name, noise("t", 0, size), 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return f
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func readPlain(b *testing.B, f *os.File, at, n, size int) {
	for i := range n {
		blob := make([]byte, size)
		if _, err := f.ReadAt(blob, int64(at+i)*int64(size)); err != nil || crc32.Checksum(blob, castagnoli) == 0 {
			b.Fatal(err)
		}
	}
}

// processorTime returns the processor time that the process has taken.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
