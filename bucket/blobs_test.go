package bucket_test

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/tiered"
)

// TestRawBlobs reads blobs as they were added, in order, and none where the
// store cannot.
func TestRawBlobs(t *testing.T) {
	t.Parallel()
	r := newResting(t, nil)
	begun := r.now
	for i := range 3 {
		mustAddBlob(t, r.Collector, "a", i)
		r.tick(t)
	}
	var got []string
	for v, err := range r.querier(t).Past().Blobs(t.Context(), "a", begun, r.now, nil) {
		if err != nil || v.Tenant != "a" || v.Key == "" || !v.Time.Equal(begun.Add(time.Duration(len(got))*time.Second)) {
			t.Fatalf("blob %+v, %v", v, err)
		}
		got = append(got, string(v.Value))
	}
	if all := strings.Join(got, ","); all != "[ 0 ],[ 1 ],[ 2 ]" {
		t.Errorf("got %s", all)
	}
	p := newPast(t, nil, longAgo())
	p.add(t, "a", after(1))
	for _, err := range p.Blobs(t.Context(), "a", after(0), after(2), nil) {
		if err == nil {
			t.Error("blobs of a store that returns none")
		}
	}
}

// hookCodec calls hook with the number of each decoding.
type hookCodec struct {
	n    *atomic.Int64
	hook func(n int64)
}

func (c hookCodec) Encode(v ids) ([]byte, error) { return json.Marshal(v) }

func (c hookCodec) Decode(blob []byte) (v ids, err error) {
	c.hook(c.n.Add(1))
	return v, json.Unmarshal(blob, &v)
}

// TestACancelledQuestionEndsWithinOneDecode cancels in the first of many
// decodings: the running ones may end, and no other begins.
func TestACancelledQuestionEndsWithinOneDecode(t *testing.T) {
	t.Parallel()
	r := newResting(t, func(o *bucket.CollectorOptions[ids]) { o.Past.Batch = 1000 })
	for i := range 300 {
		mustAdd(t, r.Collector, "a", i)
		r.tick(t)
	}
	ctx, cancel := context.WithCancel(t.Context())
	codec := hookCodec{new(atomic.Int64), func(int64) { cancel() }}
	blobs, err := tiered.New(codec, r.tier, nil)
	if err != nil {
		t.Fatal(err)
	}
	q, err := bucket.NewQuantizer(r.index, blobs, mergeIDs, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = q.Range(ctx, "a", r.now.Add(-time.Hour), r.now, nil)
	if n := codec.n.Load(); !errors.Is(err, context.Canceled) || n > int64(2*runtime.GOMAXPROCS(0)) {
		t.Errorf("got %v after %d decodings", err, n)
	}
}
