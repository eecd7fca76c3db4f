package bucket_test

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/alloctest"
	"github.com/timeblob/timeblob/tiered"
)

// tens is a codec of texts of ten digits again and again. A blob says how often.
type tens struct{}

func (tens) Encode(v string) ([]byte, error) { return fmt.Appendf(nil, "%0100d", len(v)/10), nil }

func (tens) Decode(blob []byte) (string, error) {
	n, err := strconv.Atoi(string(blob))
	return strings.Repeat("0123456789", n), err
}

// TestCacheHoldsWhatItIsToldOfCompressedValues asks about more quanta than the
// cache of merges and the store's memory hold, without a Size, and compares both
// with the heap. Blobs are less than a hundredth of their values.
func TestCacheHoldsWhatItIsToldOfCompressedValues(t *testing.T) {
	const quanta, value = 250, 100_000 // 50 MB of values, and as many of merges
	for name, c := range map[string]struct{ cache, memory int64 }{
		"cache of merges": {cache: 12 << 20, memory: -1},
		"both":            {cache: 12 << 20, memory: 12 << 20},
	} {
		x, tier := index.NewMemIndex(), new(tiered.MemTier)
		store, err := tiered.New[string](tens{}, tier, &tiered.Options[string]{Memory: c.memory})
		if err != nil {
			t.Fatal(err)
		}
		join := func(parts []string) (string, error) { return strings.Join(parts, ""), nil }
		q, err := bucket.NewQuantizer(x, store, join, &bucket.QuantizerOptions[string]{CacheBytes: c.cache, Grace: -1})
		if err != nil {
			t.Fatal(err)
		}
		encoded, _ := store.Encode(strings.Repeat("0123456789", value/10))
		for i := range 2 * quanta {
			at := noon.Add(time.Duration(i) * 1500 * time.Millisecond)
			e := index.Entry{Time: at.UnixNano(), Key: fmt.Sprint(i), Size: int64(len(encoded))}
			if err := tier.Put(t.Context(), e.Key, encoded); err != nil {
				t.Fatal(err)
			}
			if err := x.Put(t.Context(), index.RowAt("a", e.Time), e); err != nil {
				t.Fatal(err)
			}
		}
		before := alloctest.Heap()
		for i := range quanta {
			from := noon.Add(time.Duration(i) * 3 * time.Second)
			if a, err := q.Range(t.Context(), "a", from, from.Add(3*time.Second), nil); err != nil || len(a.Value) != 2*value {
				t.Fatalf("%s: %d bytes, %v", name, len(a.Value), err)
			}
		}
		if took, told := alloctest.Heap()-before, c.cache+max(c.memory, 0); took < told/2 || took > told*4/3 {
			t.Errorf("%s: %d bytes are allowed, and %d bytes of the heap are taken", name, told, took)
		}
		runtime.KeepAlive(q)
		if err := store.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
