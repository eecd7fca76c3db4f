package indextest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/index"
)

// Committed is a store whose entries and blobs are put in one step, and how
// its entries and blobs are read.
type Committed struct {
	index.Committer
	Index index.Index
	// Blob returns the blob of a key, or nil when there is none.
	Blob func(ctx context.Context, key string) ([]byte, error)
}

// RunCommitter checks every promise of index.Committer but that a commit
// survives a crash. Each call of open must return an empty store. When the store's
// index offers index.Places, commits past the protocol of levels are checked too,
// as RunGuard checks puts.
func RunCommitter(t *testing.T, open func(t *testing.T) Committed) {
	store := open(t)
	for name, test := range map[string]func(*testing.T, Committed){
		"Both":      testBoth,
		"Neither":   testNeither,
		"OneWins":   testOneCommitWins,
		"Cancelled": testCommitCancelled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, store)
		})
	}
	t.Run("Guard", func(t *testing.T) {
		t.Parallel()
		testCommitGuard(t, open(t))
	})
}

// testCommitGuard commits late entries to a store with settings of levels.
func testCommitGuard(t *testing.T, c Committed) {
	p, ok := c.Index.(index.Places)
	if !ok {
		t.Skip("SKIP: the index offers no places")
	}
	writeSettings(t, p)
	now := time.Now().UnixNano()
	commit := func(ctx context.Context, at int64, key string, want error) {
		t.Helper()
		if err := c.Commit(ctx, index.RowAt("guard", at), index.Entry{Time: at, Key: key}, []byte(key)); !errors.Is(err, want) {
			t.Errorf("commit of %q: %v, want %v", key, err, want)
		}
	}
	commit(t.Context(), now, "young", nil)
	commit(t.Context(), now-int64(time.Hour), "old", index.ErrLevels)
	c.expectBlob(t, "old", nil)
	commit(index.Holding(t.Context()), now-int64(time.Hour), "old", nil)
}

// expectBlob fails unless the store holds want under key; nil is no blob.
func (c Committed) expectBlob(t *testing.T, key string, want []byte) {
	t.Helper()
	got, err := c.Blob(t.Context(), key)
	if err != nil || (got == nil) != (want == nil) || string(got) != string(want) {
		t.Errorf("blob %q: got %.40q and error %v, want %.40q", key, got, err, want)
	}
}

// testBoth commits blobs, an empty one as well.
func testBoth(t *testing.T, c Committed) {
	row := rowOf("both")
	var want []index.Entry
	for i, blob := range [][]byte{[]byte("a blob"), {}, make([]byte, 100_000)} {
		e := entryAt(row, row.Start()+int64(i))
		e.Size = int64(len(blob))
		if err := c.Commit(t.Context(), row, e, blob); err != nil {
			t.Fatal(err)
		}
		want = append(want, e)
		checkKnown(t, query(t, c.Index, row, row.Start(), row.End()), want)
		c.expectBlob(t, e.Key, blob)
	}
}

// testNeither commits to instants and keys that are taken.
func testNeither(t *testing.T, c Committed) {
	row := rowOf("neither")
	first := entryAt(row, row.Start())
	if err := c.Commit(t.Context(), row, first, []byte("first")); err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]index.Entry{
		"the instant":  {Time: first.Time, Key: "neither/other"},
		"the key":      {Time: first.Time + 1, Key: first.Key},
		"both of them": first,
	} {
		if err := c.Commit(t.Context(), row, e, []byte("second")); !errors.Is(err, index.ErrExists) {
			t.Errorf("%s is taken: got error %v, want ErrExists", name, err)
		}
	}
	expectAll(t, c.Index, row, []index.Entry{first})
	c.expectBlob(t, first.Key, []byte("first"))
	c.expectBlob(t, "neither/other", nil)
	second := index.Entry{Time: first.Time + 1, Key: "neither/other"}
	if err := c.Commit(t.Context(), row, second, []byte("third")); err != nil {
		t.Errorf("commit of what was refused together with something taken: %v", err)
	}
	c.expectBlob(t, second.Key, []byte("third"))
}

// testOneCommitWins lets many commit different blobs to one instant.
func testOneCommitWins(t *testing.T, c Committed) {
	row := rowOf("one.commit")
	var won atomic.Int64
	var rivals sync.WaitGroup
	for i := range 12 {
		rivals.Go(func() {
			e := index.Entry{Time: row.Start(), Key: "rival/" + strconv.Itoa(i)}
			switch err := c.Commit(t.Context(), row, e, []byte(e.Key)); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, index.ErrExists):
				t.Errorf("commit by rival %d: %v", i, err)
			}
		})
	}
	rivals.Wait()
	got := query(t, c.Index, row, row.Start(), row.End())
	if won.Load() != 1 || len(got) != 1 {
		t.Fatalf("%d commits of one instant were acknowledged and %d entries are found, want one", won.Load(), len(got))
	}
	for i := range 12 {
		key, want := "rival/"+strconv.Itoa(i), []byte(nil)
		if key == got[0].Key {
			want = []byte(key)
		}
		c.expectBlob(t, key, want)
	}
}

// testCommitCancelled: a commit whose context has ended does nothing.
func testCommitCancelled(t *testing.T, c Committed) {
	row := rowOf("commit.cancelled")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := entryAt(row, row.Start())
	if err := c.Commit(ctx, row, e, []byte("blob")); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled", err)
	}
	expectAll(t, c.Index, row, nil)
	c.expectBlob(t, e.Key, nil)
}
