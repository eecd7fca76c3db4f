package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// tooLarge is a store's refusal.
type tooLarge struct{}

func (tooLarge) Error() string  { return "too large for this store" }
func (tooLarge) TooLarge() bool { return true }

// textCodec makes blobs that are as long as their values.
type textCodec struct{}

func (textCodec) Encode(v string) ([]byte, error)    { return []byte(v), nil }
func (textCodec) Decode(blob []byte) (string, error) { return string(blob), nil }

func mergeTexts(parts []string) (string, error) { return strings.Join(parts, ""), nil }

// TestATickTooLargeForOneBlobIsSplit adds seven values of 15 units to a store
// that takes 64, by its option, by the store's refusal, or as blobs.
func TestATickTooLargeForOneBlobIsSplit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		value   int   // length of each
		maxBlob int64 // the option
		tier    tiered.Tier
		size    func(string) int64
		atMost  int // entries
	}{
		"by the option":       {15 << 10, 64 << 10, &tiered.MemTier{}, nil, 4},
		"by the store":        {150 << 10, 0, &limited{limit: 640 << 10}, nil, 4},
		"sizes far too small": {150 << 10, 640 << 10, &tiered.MemTier{}, func(string) int64 { return 100 << 10 }, 4},
		"one by one":          {600 << 10, 0, &limited{limit: 640 << 10}, nil, 7},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blobs, err := tiered.New(textCodec{}, c.tier, nil)
			if err != nil {
				t.Fatal(err)
			}
			size := func(v string) int64 { return int64(len(v)) }
			if c.size != nil {
				size = c.size
			}
			idx := index.NewMemIndex()
			col, err := bucket.NewCollector(idx, blobs, mergeTexts, &bucket.CollectorOptions[string]{
				MaxBlob: c.maxBlob, Size: size, MaxPending: 1 << 30, MaxTenantPending: 1 << 30,
				Failed: func(_ string, _ string, err error) { t.Errorf("lost: %v", err) }})
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			for i := range 7 {
				if err := col.Add(t.Context(), "a", strings.Repeat(fmt.Sprint(i), c.value), nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := col.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			entries, err := col.Entries(t.Context(), "a", begun, time.Now().Add(time.Hour))
			if err != nil || len(entries) < 2 || len(entries) > c.atMost {
				t.Errorf("%d entries, %v; want 2 to %d", len(entries), err, c.atMost)
			}
			v, err := col.Range(t.Context(), "a", begun, time.Now().Add(time.Hour), nil)
			if err != nil || len(v.Value) != 7*c.value {
				t.Fatalf("%d bytes, %v.Value; want %d", len(v.Value), err, 7*c.value)
			}
			if st := col.Stats(); st.Bytes != 0 || st.Values != 0 {
				t.Errorf("pending: %+v", st)
			}
		})
	}
}

// spoiltCodec refuses texts with an exclamation mark.
type spoiltCodec struct{ textCodec }

func (spoiltCodec) Encode(v string) ([]byte, error) {
	if strings.Contains(v, "!") {
		return nil, errors.New("no exclamation marks")
	}
	return []byte(v), nil
}

// TestAValueThatSpoilsItsTickIsDroppedAlone adds three values to a tick. Their
// merge cannot be encoded because of one of them.
func TestAValueThatSpoilsItsTickIsDroppedAlone(t *testing.T) {
	t.Parallel()
	blobs, err := tiered.New(spoiltCodec{}, &tiered.MemTier{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var failed []string
	c, err := bucket.NewCollector(index.NewMemIndex(), blobs, mergeTexts, &bucket.CollectorOptions[string]{
		Size: func(v string) int64 { return int64(len(v)) }, Failed: func(_, v string, _ error) { failed = append(failed, v[:1]) }})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	for _, v := range []string{"a", "c", "!"} {
		if err := c.Add(t.Context(), "t", strings.Repeat(v, 200<<10), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, err := c.Range(t.Context(), "t", begun, time.Now().Add(time.Hour), nil)
	if err != nil || len(a.Value) != 400<<10 || strings.Contains(a.Value, "!") || fmt.Sprint(failed) != "[!]" {
		t.Errorf("%d bytes, %v, failed %v; want the two good values", len(a.Value), err, failed)
	}
}

// limited is a store that refuses long blobs.
type limited struct {
	tiered.MemTier
	limit int
}

func (l *limited) Put(ctx context.Context, key string, blob []byte) error {
	if len(blob) > l.limit {
		return fmt.Errorf("put: %w", tooLarge{})
	}
	return l.MemTier.Put(ctx, key, blob)
}

// TestAValueTooLargeForAnyBlobFails is told to the callback, or to Add where it
// came as a blob.
func TestAValueTooLargeForAnyBlobFails(t *testing.T) {
	t.Parallel()
	blobs, err := tiered.New(textCodec{}, &tiered.MemTier{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var failed []error
	c, err := bucket.NewCollector(index.NewMemIndex(), blobs, mergeTexts, &bucket.CollectorOptions[string]{MaxBlob: 100,
		Size: func(v string) int64 { return int64(len(v)) }, Failed: func(_, _ string, err error) { failed = append(failed, err) }})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 101)
	large, ok := errors.AsType[*bucket.TooLargeError](c.AddBlob(t.Context(), "a", bucket.Encoded[string]{Blob: []byte(long)}, nil))
	if !ok || large.Size != 101 || large.Limit != 100 {
		t.Errorf("a blob: %v", large)
	}
	if err := errors.Join(c.Add(t.Context(), "a", long, nil), c.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	if len(failed) != 1 {
		t.Fatalf("%d failed, want 1", len(failed))
	}
	if large, ok := errors.AsType[*bucket.TooLargeError](failed[0]); !ok || large.Tenant != "a" {
		t.Errorf("failed with %v", failed[0])
	}
}
