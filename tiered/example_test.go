package tiered_test

import (
	"context"
	"fmt"
	"strconv"

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
	blob, _ := store.Encode(42)
	fmt.Println(store.Put(ctx, "answer", blob))

	values, err := store.Get(ctx, []string{"answer", "question"})
	fmt.Println(values, err)
	fmt.Println(store.Close(ctx))
	// Output:
	// <nil>
	// map[answer:42] <nil>
	// <nil>
}

// An LRU bounds its values by weight, not by number.
func ExampleNewLRU() {
	cache, err := tiered.NewLRU[string](10, &tiered.LRUOptions{Shards: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	cache.Add("a", "four", 4)
	cache.Add("b", "five!", 5)
	cache.Get("a") // now b was used longest ago
	cache.Add("c", "sixsix", 6)
	_, ok := cache.Get("b")
	fmt.Println(cache.Len(), cache.Bytes(), ok)
	// Output: 2 10 false
}
