package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/internal/racetest"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
	"github.com/timeblob/timeblob/tiered"
)

// tally counts names. It shows whether a value was lost or merged twice.
type tally map[string]int

func addUp(parts []tally) (tally, error) {
	sum := tally{}
	for _, part := range parts {
		for name, n := range part {
			sum[name] += n
		}
	}
	return sum, nil
}

type tallies struct{}

func (tallies) Encode(v tally) ([]byte, error) { return json.Marshal(v) }

func (tallies) Decode(blob []byte) (v tally, err error) { return v, json.Unmarshal(blob, &v) }

// rival is a collector with its own connections to a store.
func rival(t *testing.T, index, blobs string, now func() time.Time) *bucket.Collector[tally] {
	t.Helper()
	pl := must1(stores.Parse("--to", index+","+blobs))
	s, err := pl.Open(t.Context(), stores.Options{Logger: telemetry.Warnings(&buffer{})})
	if err != nil {
		t.Fatal(err)
	}
	values, err := tiered.New(tallies{}, s.Authority, &tiered.Options[tally]{Memory: -1})
	if err != nil {
		t.Fatal(err)
	}
	c, err := bucket.NewCollector(s.Index, values, addUp, &bucket.CollectorOptions[tally]{
		Flushes: 32, Now: now, Size: func(tally) int64 { return 64 },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
		values.Close(context.Background())
		_ = s.Close()
	})
	return c
}

var rivalInstants = flag.Int("rivals", 3000, "at how many instants the two collectors of TestRivals seal values")

// TestRivals lets two collectors seal values of one tenant at the same nanoseconds. No value may be
// lost or doubled. Under the race detector there are 500, because requests cost three times as much.
func TestRivals(t *testing.T) {
	t.Parallel()
	const batch = 500
	instants := *rivalInstants
	if racetest.Enabled {
		instants = 500
	}
	index, blobs := newTable(t, servertest.SharedDynamoDBLocal), newBucket(t)
	create(t, index, blobs)
	begin := time.Unix(1_700_000_000, 0)
	var clock atomic.Int64
	now := func() time.Time { return time.Unix(0, clock.Load()) }
	clock.Store(begin.UnixNano())
	rivals := []*bucket.Collector[tally]{rival(t, index, blobs, now), rival(t, index, blobs, now)}

	sealOnly, cancel := context.WithCancel(t.Context())
	cancel()
	for first := 0; first < instants; first += batch {
		for i := first; i < first+batch; i++ {
			clock.Store(begin.Add(time.Duration(i) * time.Millisecond).UnixNano())
			for w, c := range rivals {
				if err := c.Add(context.Background(), "t", tally{fmt.Sprint(w, "-", i): 1}, nil); err != nil {
					t.Fatal(err)
				}
				_ = c.Flush(sealOnly) // delivers nothing yet, so that both want the same instant
			}
		}
		var flushes sync.WaitGroup
		for _, c := range rivals {
			flushes.Go(func() {
				if err := c.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		flushes.Wait()
	}
	got, err := rival(t, index, blobs, time.Now).Range(t.Context(), "t", begin, begin.Add(time.Duration(instants)*time.Millisecond), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range got.Value {
		if n != 1 {
			t.Errorf("%s is in the range %d times", name, n)
		}
	}
	if len(got.Value) != len(rivals)*instants {
		t.Errorf("%d values are left of %d", len(got.Value), len(rivals)*instants)
	}
}
