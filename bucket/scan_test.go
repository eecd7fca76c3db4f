package bucket_test

import (
	"context"
	"iter"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
)

// walked counts how an index is read.
type walked struct {
	*index.MemIndex
	queries, scans int
}

func (w *walked) Query(ctx context.Context, row index.Row, from, to int64) ([]index.Entry, error) {
	w.queries++
	return w.MemIndex.Query(ctx, row, from, to)
}

func (w *walked) Scan(ctx context.Context, tenant string, from, to int64) iter.Seq2[index.Entry, error] {
	w.scans++
	return w.MemIndex.Scan(ctx, tenant, from, to)
}

// TestRangeOverDecades asks an index that can walk over empty rows once, and
// not for each of the half million hours since 1970.
func TestRangeOverDecades(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	c := s.collector(t, nil)
	mustAdd(t, c, "a", 1)
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	old := time.Unix(1_000_000_000, 7)
	row := index.RowAt("a", old.UnixNano())
	e := index.Entry{Time: old.UnixNano(), Key: row.BlobKey(old.UnixNano())}
	if err := s.blobs.Put(t.Context(), e.Key, []byte("[0]")); err != nil {
		t.Fatal(err)
	}
	idx := &walked{MemIndex: index.NewMemIndex()}
	entries, err := c.Entries(t.Context(), "a", time.Now().Add(-time.Hour), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range append(entries, e) {
		if err := idx.Put(t.Context(), index.RowAt("a", e.Time), e); err != nil {
			t.Fatal(err)
		}
	}
	q, err := bucket.NewQuantizer(idx, s.blobs, mergeIDs, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := q.Range(t.Context(), "a", time.Unix(0, 0), time.Now(), nil)
	wantIDs(t, "since 1970", v.Value, err, ids{0, 1})
	found, err := q.Has(t.Context(), "a", time.Unix(0, 0), old)
	if found || err != nil {
		t.Errorf("before the first: %v %v", found, err)
	}
	if idx.queries > 0 || idx.scans != 2 {
		t.Errorf("%d queries and %d scans, want 2 scans", idx.queries, idx.scans)
	}
}
