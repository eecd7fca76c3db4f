package indextest

import (
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/index"
)

// largeRow is how many entries RunLarge puts into one row: at some 90 bytes
// each more than one page of DynamoDB, which is 1 MB.
const largeRow = 12_000

// RunLarge checks that a row of 12 000 entries, more than 1 MB, is found whole
// and in part. It makes that many puts, 32 at a time.
func RunLarge(t *testing.T, open func(t *testing.T) index.Index) {
	x := open(t)
	row := rowOf("large")
	entries := make([]index.Entry, largeRow)
	for i := range entries {
		entries[i] = entryAt(row, row.Start()+int64(i)*int64(300*time.Millisecond))
	}
	if err := putAll(t, x, row, entries); err != nil {
		t.Fatal(err)
	}
	expectAll(t, x, row, entries)
	from, to := entries[100].Time, entries[largeRow-100].Time
	expect(t, x, row, from, to, entries[100:largeRow-100])
	last := entries[largeRow-1].Time
	expect(t, x, row, last, last+1, entries[largeRow-1:])
}

// putAll puts entries, 32 at a time.
func putAll(t testing.TB, x index.Index, row index.Row, entries []index.Entry) error {
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(32)
	for _, e := range entries {
		group.Go(func() error { return x.Put(ctx, row, e) })
	}
	return group.Wait()
}
