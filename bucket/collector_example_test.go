package bucket_test

import (
	"context"
	"fmt"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

func ExampleNewCollector() {
	ctx := context.Background()
	store, err := tiered.New(idCodec{}, &tiered.MemTier{}, nil)
	if err != nil {
		panic(err)
	}
	c, err := bucket.NewCollector(index.NewMemIndex(), store, mergeIDs, &bucket.CollectorOptions[ids]{
		Window: time.Minute,
		Size:   func(v ids) int64 { return int64(8 * len(v)) },
	})
	if err != nil {
		panic(err)
	}
	_ = c.Add(ctx, "acme", ids{1}, nil)
	_ = c.Add(ctx, "acme", ids{2}, nil)
	live, err := c.At(ctx, "acme", time.Now(), nil)
	fmt.Println(live.Value, err)

	_ = c.Close(ctx) // makes what is pending discoverable
	past, err := c.Range(ctx, "acme", time.Now().Add(-time.Hour), time.Now(), nil)
	fmt.Println(past.Value, err)
	// Output:
	// [1 2] <nil>
	// [1 2] <nil>
}

func ExampleNewWindow() {
	w, err := bucket.NewWindow(2*time.Second, mergeIDs)
	if err != nil {
		panic(err)
	}
	for i := range 4 {
		_ = w.Add(ids{i})
		w.Seal(time.Unix(int64(i), 0))
	}
	_ = w.Add(ids{4})
	fmt.Println(w.Value())
	// Output: [2 3 4] <nil>
}
