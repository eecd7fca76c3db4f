package bucket_test

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

type countsCodec struct{}

func (countsCodec) Encode(v counts) ([]byte, error) { return json.Marshal(v) }

func (countsCodec) Decode(blob []byte) (v counts, err error) { return v, json.Unmarshal(blob, &v) }

// TestRule2RealStoreFails puts a quantizer on a real store whose authority fails in every way: each is an error, and the answer is right once
// it has healed.
func TestRule2RealStoreFails(t *testing.T) {
	t.Parallel()
	instants := []time.Time{after(2), after(3), after(4), after(6), after(9)}
	keys := make([]string, len(instants))
	for i, at := range instants {
		keys[i] = index.RowAt("a", at.UnixNano()).BlobKey(at.UnixNano())
	}
	one := func(c faulttest.Call) bool { return c.Key == keys[2] }
	for name, fault := range map[string]faulttest.Fault{
		"down":      {Err: faulttest.ErrInjected},
		"partial":   {Err: faulttest.ErrInjected, Partial: true},
		"corrupt":   {Match: one, Corrupt: true},
		"truncated": {Match: one, Truncate: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			idx, tier := index.NewMemIndex(), faulttest.NewTier(&tiered.MemTier{}, 1)
			blobs, err := tiered.New(countsCodec{}, tier, nil)
			if err != nil {
				t.Fatal(err)
			}
			q, err := bucket.NewQuantizer(idx, blobs, mergeCounts, longAgo())
			if err != nil {
				t.Fatal(err)
			}
			want := make(counts)
			for i, at := range instants {
				encoded, _ := blobs.Encode(counts{i: 1})
				err := errors.Join(tier.Put(t.Context(), keys[i], encoded),
					idx.Put(t.Context(), index.RowAt("a", at.UnixNano()), index.Entry{Time: at.UnixNano(), Key: keys[i]}))
				if err != nil {
					t.Fatal(err)
				}
				want[i] = 1
			}
			tier.Inject(fault)
			got, err := q.Range(t.Context(), "a", after(1), after(11), nil)
			if err == nil || got.Value != nil {
				t.Errorf("got %v, %v, want an error", got, err)
			} else if fault.Match != nil && !strings.Contains(err.Error(), keys[2]) {
				t.Errorf("%q does not name the key", err)
			}
			tier.Heal()
			if got, err := q.Range(t.Context(), "a", after(1), after(11), nil); err != nil || !maps.Equal(got.Value, want) {
				t.Errorf("after healing: got %v, %v, want %v", got, err, want)
			}
		})
	}
}

// TestEntriesSayWhatTheirBlobsAre flushes a value and finds its blob's size and
// sum in the index.
func TestEntriesSayWhatTheirBlobsAre(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	c := s.collector(t, nil)
	mustAdd(t, c, "a", 1)
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	entries, err := c.Entries(t.Context(), "a", now.Add(-time.Hour), now.Add(time.Hour))
	encoded, _ := json.Marshal(ids{1})
	if err != nil || len(entries) != 1 || entries[0].Size != int64(len(encoded)) || entries[0].Sum != blob.SumOf(encoded) {
		t.Errorf("got %+v, %v", entries, err)
	}
}
