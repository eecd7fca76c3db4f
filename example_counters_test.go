package timeblob_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// Counters are the values of this example: how often each thing happened.
type Counters map[string]int

func addUp(parts []Counters) (Counters, error) {
	total := maps.Clone(parts[0])
	for _, part := range parts[1:] {
		for name, n := range part {
			total[name] += n
		}
	}
	return total, nil
}

type jsonCodec struct{}

func (jsonCodec) Encode(c Counters) ([]byte, error)          { return json.Marshal(c) }
func (jsonCodec) Decode(blob []byte) (c Counters, err error) { return c, json.Unmarshal(blob, &c) }

// Example keeps counters in memory, and asks for what they are now and for the
// sum of the last minute.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	store, err := tiered.New(jsonCodec{}, &tiered.MemTier{}, nil)
	check(err)
	counters, err := bucket.NewCollector(index.NewMemIndex(), store, addUp, nil)
	check(err)
	go counters.Run(ctx) // merges, stores and indexes, every 3 s

	check(counters.Add(ctx, "acme", Counters{"GET": 2}, nil))
	check(counters.Add(ctx, "acme", Counters{"GET": 1, "POST": 1}, nil))
	live, err := counters.At(ctx, "acme", time.Now(), nil)
	check(err)
	fmt.Println("live:", live.Value["GET"], live.Value["POST"])

	check(counters.Flush(ctx)) // rather than wait for Run to do so
	now := time.Now()
	past, err := counters.Range(ctx, "acme", now.Add(-time.Minute), now, nil)
	check(err)
	fmt.Println("past:", past.Value["GET"], past.Value["POST"])
	check(counters.Close(ctx))
	// Output:
	// live: 3 1
	// past: 3 1
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
