package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/journal"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/tiered"
)

// BenchmarkAddJournal adds blobs of 60 kB from 64 goroutines, each for a tenant of its own that sends one every 250 ms,
// to a collector on a directory, without a journal and with each mode of one. It reports the 99th percentile of an Add,
// and that as a multiple of the one without a journal in the same run.
func BenchmarkAddJournal(b *testing.B) {
	var none time.Duration
	for _, mode := range []string{"none", "always", "interval", "off"} {
		b.Run(mode, func(b *testing.B) {
			c, shut := journaledCollector(b, mode)
			defer shut()
			var p99 time.Duration
			for b.Loop() {
				p99 = addPaced(b, c, 64, 40, 250*time.Millisecond)
			}
			if mode == "none" {
				none = p99
			}
			b.ReportMetric(float64(p99.Microseconds())/1000, "p99-ms")
			if none > 0 {
				b.ReportMetric(float64(p99)/float64(none), "×none")
			}
		})
	}
}

func joinBytes(parts [][]byte) ([]byte, error) { return slices.Concat(parts...), nil }

// journaledCollector starts a collector as collector serve --data does: with a journal the directory has no log.
func journaledCollector(b *testing.B, mode string) (*bucket.Collector[[]byte], func()) {
	b.Helper()
	dir, quiet := b.TempDir(), slog.New(slog.DiscardHandler)
	o := &bucket.CollectorOptions[[]byte]{Tick: time.Second, Alone: true, Flushes: 64, Logger: quiet, MaxTenants: 1000}
	db, err := local.Open(filepath.Join(dir, "data"), &local.Options{Logger: quiet, NoLog: mode == "always" || mode == "interval"})
	if err != nil {
		b.Fatal(err)
	}
	stop := db.Close
	if mode != "none" {
		var sync journal.Sync
		if err := sync.UnmarshalText([]byte(mode)); err != nil {
			b.Fatal(err)
		}
		j, err := journal.Open(filepath.Join(dir, "journal"), &journal.Options{Sync: sync})
		if err != nil {
			b.Fatal(err)
		}
		if o.Journal = j; sync != journal.Off {
			o.Sync = db.Sync
		}
		stop = func() error { err := j.Close(); return errors.Join(err, db.Close()) }
	}
	blobs, err := tiered.New(rawCodec{}, db.Blobs(), nil)
	if err != nil {
		b.Fatal(err)
	}
	o.Committer = db
	c, err := bucket.NewCollector(db.Index(), blobs, joinBytes, o)
	if err != nil {
		b.Fatal(err)
	}
	ran := make(chan struct{})
	go func() { defer close(ran); _ = c.Run(context.Background()) }()
	return c, func() {
		if err := c.Close(b.Context()); err != nil {
			b.Error(err)
		}
		<-ran
		if err := errors.Join(blobs.Close(b.Context()), stop()); err != nil {
			b.Error(err)
		}
	}
}

// addPaced has writers add a number of blobs each, at a pace, and returns the 99th percentile of the time from when an
// Add was due until it returned.
func addPaced(b *testing.B, c *bucket.Collector[[]byte], writers, adds int, pace time.Duration) time.Duration {
	b.Helper()
	var mu sync.Mutex // guards took
	var took []time.Duration
	var group sync.WaitGroup
	begun := time.Now()
	for w := range writers {
		group.Go(func() {
			blob := make([]byte, 60<<10)
			for i := range adds {
				due := begun.Add(time.Duration(i)*pace + pace*time.Duration(w)/time.Duration(writers))
				time.Sleep(time.Until(due))
				if err := c.AddBlob(b.Context(), fmt.Sprint("t", w), bucket.Encoded[[]byte]{Blob: blob}, nil); err != nil {
					b.Error(err)
					return
				}
				late := time.Since(due)
				mu.Lock()
				took = append(took, late)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	slices.Sort(took)
	return took[len(took)*99/100]
}
