package tiered_test

import (
	"context"
	"fmt"
	"strconv"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/tiered"
)

// numbers is a codec of integers in decimal digits.
type numbers struct{}

func (numbers) Encode(n int) ([]byte, error)    { return strconv.AppendInt(nil, int64(n), 10), nil }
func (numbers) Decode(blob []byte) (int, error) { return strconv.Atoi(string(blob)) }

// A store in front of an authority, with one cache between.
func ExampleNew() {
	ctx := context.Background()
	store, err := tiered.New(numbers{}, new(tiered.MemTier), &tiered.Options[int]{
		Caches: []tiered.Cache{{Name: "near", Tier: &tiered.MemTier{Overwrite: true}}},
		Memory: 1 << 20,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	encoded, _ := store.Encode(42)
	fmt.Println(store.Put(ctx, "answer", encoded))

	results, err := store.Get(ctx, []blob.Ref{{Key: "answer"}, {Key: "question"}})
	fmt.Println(results[0].Value, results[0].Found, results[1].Found, err)
	fmt.Println(store.Close(ctx))
	// Output:
	// <nil>
	// 42 true false <nil>
	// <nil>
}
