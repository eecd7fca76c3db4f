package bucket_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

var errBroken = errors.New("broken on purpose")

// ids is a multiset: an id that is lost or counted twice shows.
type ids []int

func mergeIDs(parts []ids) (ids, error) {
	merged := slices.Concat(parts...)
	slices.Sort(merged)
	return merged, nil
}

// idCodec counts how often it encodes and decodes, and decodes nothing while
// it is broken.
type idCodec struct {
	encodes, decodes *atomic.Int64
	broken           *atomic.Bool
}

func (c idCodec) Encode(v ids) ([]byte, error) {
	if c.encodes != nil {
		c.encodes.Add(1)
	}
	return json.Marshal(v)
}

func (c idCodec) Decode(blob []byte) (v ids, err error) {
	if c.decodes != nil {
		c.decodes.Add(1)
	}
	if c.broken != nil && c.broken.Load() {
		return nil, errBroken
	}
	return v, json.Unmarshal(blob, &v)
}

// stores are an index and an authority that fail as they are told, below a
// real store.
type stores struct {
	index *faulttest.Index
	tier  *faulttest.Tier
	blobs *tiered.Store[ids]

	encodes, decodes atomic.Int64
	broken           atomic.Bool // decoding fails
}

func newStores(t testing.TB) *stores {
	t.Helper()
	s := &stores{index: faulttest.NewIndex(index.NewMemIndex(), 1), tier: faulttest.NewTier(&tiered.MemTier{}, 1)}
	s.reopen(t)
	return s
}

// reopen forgets what is cached, as a restart does.
func (s *stores) reopen(t testing.TB) {
	t.Helper()
	blobs, err := tiered.New(idCodec{&s.encodes, &s.decodes, &s.broken}, s.tier, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.blobs = blobs
}

func (s *stores) collector(t testing.TB, opts *bucket.CollectorOptions[ids]) *bucket.Collector[ids] {
	t.Helper()
	if opts == nil {
		opts = &bucket.CollectorOptions[ids]{}
	}
	opts.Size = func(v ids) int64 { return int64(len(v)) }
	c, err := bucket.NewCollector(s.index, s.blobs, mergeIDs, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// stored returns what a reader with no memory finds in the stores.
func (s *stores) stored(t testing.TB, tenant string) ids {
	t.Helper()
	s.reopen(t)
	q, err := bucket.NewQuantizer(s.index, s.blobs, mergeIDs, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	v, err := q.Range(t.Context(), tenant, now.Add(-1000*time.Hour), now.Add(time.Hour), nil)
	if err != nil {
		t.Fatal(err)
	}
	return v.Value
}

// flaky makes some puts fail, some of them in spite of having landed.
func (s *stores) flaky() {
	s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Chance: 0.2, Err: errBroken})
	s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Chance: 0.1, Err: errBroken, Applied: true})
	n := 0
	s.index.Decide(func(call faulttest.Call) faulttest.Fault {
		if n++; call.Op == faulttest.Put && n%3 == 0 {
			return faulttest.Fault{Err: errBroken, Applied: n%2 == 0}
		}
		return faulttest.Fault{}
	})
}

func upTo(n int) (v ids) {
	for i := range n {
		v = append(v, i)
	}
	return v
}

func mustAdd(t testing.TB, c *bucket.Collector[ids], tenant string, values ...int) {
	t.Helper()
	for _, v := range values {
		if err := c.Add(t.Context(), tenant, ids{v}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// mustAddBlob adds a value as the blob that its codec makes of it, with a space
// by which it is known.
func mustAddBlob(t testing.TB, c *bucket.Collector[ids], tenant string, v int) {
	t.Helper()
	e := bucket.Encoded[ids]{Blob: fmt.Appendf(nil, "[ %d ]", v), Decode: func() (ids, error) { return ids{v}, nil }}
	if err := c.AddBlob(t.Context(), tenant, e, nil); err != nil {
		t.Fatal(err)
	}
}

func wantIDs(t rapid.TB, what string, answer any, err error, want ids) {
	t.Helper()
	got, ok := answer.(ids)
	if !ok {
		got = answer.(bucket.Answer[ids]).Value
	}
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%s: got %v, error %v; want %v", what, got, err, want)
	}
}

// fast lets failures be repeated without delay.
func fast() *bucket.CollectorOptions[ids] {
	return &bucket.CollectorOptions[ids]{Backoff: time.Microsecond, MaxBackoff: time.Millisecond}
}
