package bucket_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
)

// noon is when most tests begin; it is at the edge of an hour and of a quantum.
var noon = time.Date(2024, 5, 17, 12, 0, 0, 0, time.UTC)

// counts is a T that counts how often each value is in a merge, and so shows lost and doubled values.
type counts map[int]int

func mergeCounts(parts []counts) (counts, error) {
	if len(parts) < 2 {
		return nil, fmt.Errorf("merge was called with %d parts", len(parts))
	}
	all := make(counts)
	for _, part := range parts {
		for id, n := range part {
			all[id] += n
		}
	}
	return all, nil
}

// shelf is a store of counts that remembers what it was asked for.
type shelf struct {
	mu      sync.Mutex // guards what follows
	values  map[string]counts
	calls   int
	fetched map[string]int
	// fault may wait, and says which of the keys cannot be read and why.
	fault func(ctx context.Context, keys []string) (broken []string, err error)

	encoded atomic.Int64
}

func newShelf() *shelf {
	return &shelf{values: make(map[string]counts), fetched: make(map[string]int)}
}

func (s *shelf) Get(ctx context.Context, refs []blob.Ref) ([]blob.Result[counts], error) {
	results, keys, fault := s.look(refs)
	if fault == nil {
		return results, ctx.Err()
	}
	broken, err := fault(ctx, keys)
	for i, key := range keys {
		if err != nil && slices.Contains(broken, key) {
			results[i] = blob.Result[counts]{Err: err}
		}
	}
	return results, err
}

func (s *shelf) look(refs []blob.Ref) ([]blob.Result[counts], []string, func(context.Context, []string) ([]string, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	results, keys := make([]blob.Result[counts], len(refs)), make([]string, len(refs))
	for i, ref := range refs {
		keys[i] = ref.Key
		s.fetched[ref.Key]++
		results[i].Value, results[i].Found = s.values[ref.Key]
	}
	return results, keys, s.fault
}

func (s *shelf) Encode(v counts) ([]byte, error) {
	s.encoded.Add(1)
	return json.Marshal(v)
}

func (s *shelf) Put(_ context.Context, key string, blob []byte) error {
	var v counts
	if err := json.Unmarshal(blob, &v); err != nil {
		return err
	}
	return s.set(key, v)
}

func (s *shelf) set(key string, v counts) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.values[key]; ok {
		return index.ErrExists
	}
	s.values[key] = v
	return nil
}

// remove returns what it removes.
func (s *shelf) remove(key string) counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.values[key]
	delete(s.values, key)
	return v
}

func (s *shelf) inject(fault func(ctx context.Context, keys []string) ([]string, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// asked returns the number of calls of Get, and of what each key was part of.
func (s *shelf) asked() (calls int, fetched map[string]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, maps.Clone(s.fetched)
}

func (s *shelf) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.fetched = 0, make(map[string]int)
}

// past is a quantizer of its own, and the plain list of what it should know.
type past struct {
	*bucket.Quantizer[counts]
	index index.Index
	blobs *shelf
	mu    sync.Mutex // guards list
	list  []record
}

type record struct {
	tenant string
	time   int64
	id     int
}

func newPast(t rapid.TB, idx index.Index, opts *bucket.QuantizerOptions[counts]) *past {
	t.Helper()
	if idx == nil {
		idx = index.NewMemIndex()
	}
	if opts == nil {
		opts = &bucket.QuantizerOptions[counts]{}
	}
	if opts.Size == nil {
		opts.Size = func(v counts) int64 { return int64(1 + len(v)) }
	}
	blobs := newShelf()
	q, err := bucket.NewQuantizer(idx, blobs, mergeCounts, opts)
	if err != nil {
		t.Fatalf("NewQuantizer: %v", err)
	}
	return &past{Quantizer: q, index: idx, blobs: blobs}
}

// add stores a value of its own id at an instant and returns its key. An
// instant that is taken is left alone.
func (p *past) add(t rapid.TB, tenant string, at time.Time) (key string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	row := index.RowAt(tenant, at.UnixNano())
	e := index.Entry{Time: at.UnixNano(), Key: row.BlobKey(at.UnixNano())}
	id := len(p.list) + 1
	if err := p.blobs.set(e.Key, counts{id: 1}); err != nil {
		return e.Key
	}
	if err := p.index.Put(context.Background(), row, e); err != nil {
		t.Fatalf("put: %v", err)
	}
	p.list = append(p.list, record{tenant, e.Time, id})
	return e.Key
}

// want answers a range from the list.
func (p *past) want(tenant string, from, to time.Time) counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(counts)
	for _, r := range p.list {
		if r.tenant == tenant && r.time >= from.UnixNano() && r.time < to.UnixNano() {
			all[r.id]++
		}
	}
	return all
}

// Range is the quantizer's Range without options, and returns the value.
func (p *past) Range(ctx context.Context, tenant string, from, to time.Time) (counts, error) {
	a, err := p.Quantizer.Range(ctx, tenant, from, to, nil)
	return a.Value, err
}

// check fails unless Range equals the list.
func (p *past) check(t rapid.TB, tenant string, from, to time.Time) {
	t.Helper()
	got, err := p.Range(context.Background(), tenant, from, to)
	if err != nil {
		t.Fatalf("range of %q from %v to %v: %v", tenant, from, to, err)
	}
	if want := p.want(tenant, from, to); !maps.Equal(got, want) {
		t.Fatalf("range of %q from %v to %v:\n got %v\nwant %v", tenant, from, to, got, want)
	}
}

// checkUnchanged fails if a stored value was modified.
func (p *past) checkUnchanged(t rapid.TB) {
	t.Helper()
	p.blobs.mu.Lock()
	defer p.blobs.mu.Unlock()
	for key, v := range p.blobs.values {
		if len(v) != 1 {
			t.Fatalf("the value of %s was changed to %v", key, v)
		}
	}
}

// checkFetched fails unless exactly the keys were fetched, once each, in the
// given number of calls since the last forget.
func (p *past) checkFetched(t testing.TB, calls int, keys ...string) {
	t.Helper()
	gotCalls, got := p.blobs.asked()
	want := make(map[string]int)
	for _, key := range keys {
		want[key] = 1
	}
	if gotCalls != calls || !maps.Equal(got, want) {
		t.Errorf("%d calls fetched %v\nwant %d calls that fetch %v", gotCalls, got, calls, want)
	}
}

// after returns the instant s seconds after noon.
func after(s float64) time.Time { return noon.Add(time.Duration(s * float64(time.Second))) }
