package bucket_test

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// memJournal is a journal in memory that fails as it is told.
type memJournal struct {
	fail atomic.Pointer[error]
	hang atomic.Bool // Append waits for its context

	mu      sync.Mutex // guards the fields below
	last    uint64
	records map[uint64]*memRecord
	ends    [][]uint64 // calls of End
	reads   int
}

type memRecord struct {
	kind       byte
	meta, blob []byte
	done       bool
}

func newMemJournal() *memJournal { return &memJournal{records: make(map[uint64]*memRecord)} }

func (j *memJournal) Append(ctx context.Context, kind byte, meta, blob []byte) (uint64, error) {
	if j.hang.Load() {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	if err := j.fail.Load(); err != nil {
		return 0, *err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last++
	j.records[j.last] = &memRecord{kind: kind, meta: slices.Clone(meta), blob: slices.Clone(blob)}
	return j.last, nil
}

func (j *memJournal) Read(id uint64) (kind byte, meta, blob []byte, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.reads++
	r := j.records[id]
	if r == nil || r.done {
		return 0, nil, nil, fs.ErrNotExist
	}
	return r.kind, r.meta, r.blob, nil
}

func (j *memJournal) End(ids ...uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ends = append(j.ends, ids)
	for _, id := range ids {
		if r := j.records[id]; r != nil {
			r.done = true
		}
	}
}

func (j *memJournal) Replay(visit func(uint64, byte, []byte, []byte, bool) error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(j.records)) {
		r := j.records[id]
		if err := visit(id, r.kind, r.meta, r.blob, r.done); err != nil {
			return err
		}
	}
	return nil
}

// afterKill returns the journal as a new process finds it. The last calls of End
// are forgotten.
func (j *memJournal) afterKill(forgotten int) *memJournal {
	j.mu.Lock()
	defer j.mu.Unlock()
	next := newMemJournal()
	next.last = j.last
	for id, r := range j.records {
		next.records[id] = &memRecord{kind: r.kind, meta: r.meta, blob: r.blob}
	}
	next.End(slices.Concat(j.ends[:max(0, len(j.ends)-forgotten)]...)...)
	return next
}

// live returns how many records are not done.
func (j *memJournal) live() (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range j.records {
		if !r.done {
			n++
		}
	}
	return n
}

// textStores hold texts; the store takes one at a time.
type textStores struct {
	index *index.MemIndex
	blobs *tiered.Store[string]
}

func newTextStores(t *testing.T, tier tiered.Tier) *textStores {
	t.Helper()
	blobs, err := tiered.New(textCodec{}, tier, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &textStores{index.NewMemIndex(), blobs}
}

func (s *textStores) collector(t *testing.T, j bucket.Journal) *bucket.Collector[string] {
	t.Helper()
	c, err := bucket.NewCollector(s.index, s.blobs, mergeTexts, &bucket.CollectorOptions[string]{
		Journal: j, MaxPending: 1 << 30, MaxTenantPending: 1 << 30, Backoff: time.Microsecond, MaxBackoff: time.Millisecond,
		Size:   func(v string) int64 { return int64(len(v)) },
		Failed: func(_ string, _ string, err error) { t.Errorf("lost: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func largeText(i int) string { return strings.Repeat(fmt.Sprint(i), 600<<10) }

// want checks that each of n texts is stored once.
func (s *textStores) want(t *testing.T, seed uint64, n int) {
	t.Helper()
	q, err := bucket.NewQuantizer(s.index, s.blobs, mergeTexts, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := q.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if got := strings.Count(v.Value, fmt.Sprint(i)); got != 600<<10 {
			t.Errorf("seed %d: text %d has %d characters", seed, i, got)
		}
	}
}
