package journal

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const writers = 64

// BenchmarkAppend measures 64 writers. Each waits for its record.
// Each record is called done at once, so that segments are removed meanwhile.
// The yardstick, floor, does the least that could keep records: it writes what
// waits and syncs once, with no checksum, no number, no bound and no removal.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{4 << 10, 60 << 10} {
		blob := bytes.Repeat([]byte{7}, size)
		b.Run(fmt.Sprintf("%dkB/floor", size>>10), func(b *testing.B) {
			f := newFloor(b)
			measure(b, size, func() error { return f.append(blob) })
		})
		for _, mode := range []Sync{Always, Interval, Off} {
			b.Run(fmt.Sprintf("%dkB/%v", size>>10, mode), func(b *testing.B) {
				j := mustOpen(b, b.TempDir(), &Options{Sync: mode, MaxBytes: 8 << 30})
				measure(b, size, func() error {
					id, err := j.Append(context.Background(), 1, []byte("tenant"), blob)
					j.End(id)
					return err
				})
			})
		}
	}
}

// measure calls step from 64 goroutines and reports values/s and p99.
func measure(b *testing.B, size int, step func() error) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	var next atomic.Int64
	took := make([]time.Duration, b.N)
	var g sync.WaitGroup
	b.ResetTimer()
	for range writers {
		g.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				began := time.Now()
				if err := step(); err != nil {
					b.Error(err)
					return
				}
				took[i] = time.Since(began)
			}
		})
	}
	g.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "values/s")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// floor appends to one file and syncs: a group commit of nothing but bytes.
type floor struct {
	file *os.File

	mu      sync.Mutex // guards waiting
	waiting []request
	wake    chan struct{}
}

type request struct {
	blob []byte
	done chan error
}

func newFloor(b *testing.B) *floor {
	file, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	f := &floor{file: file, wake: make(chan struct{}, 1)}
	go f.run()
	b.Cleanup(func() { close(f.wake); file.Close() })
	return f
}

func (f *floor) append(blob []byte) error {
	r := request{blob, make(chan error, 1)}
	f.mu.Lock()
	f.waiting = append(f.waiting, r)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
	return <-r.done
}

func (f *floor) run() {
	var buffer []byte
	for range f.wake {
		f.mu.Lock()
		batch := f.waiting
		f.waiting = nil
		f.mu.Unlock()
		buffer = buffer[:0]
		for _, r := range batch {
			buffer = append(buffer, r.blob...)
		}
		_, err := f.file.Write(buffer)
		if err == nil {
			err = datasync(f.file)
		}
		for _, r := range batch {
			r.done <- err
		}
	}
}
