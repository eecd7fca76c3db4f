package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/index/indextest"
	"github.com/timeblob/timeblob/tiered"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
	}
	// Pebble's file cache keeps a goroutine when a panic has left one of its files in use.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/cockroachdb/pebble/v2/internal/genericcache.(*shard[...]).releaseLoop"))
}

// openIn opens a store and closes it at the end of the test, if still open.
func openIn(t testing.TB, dir string, opts *Options) *DB {
	t.Helper()
	if opts == nil {
		opts = &Options{}
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	db, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

func openMem(t testing.TB) *DB { return openIn(t, "data", &Options{FS: vfs.NewMem()}) }

const hour = int64(time.Hour)

// sample returns an entry of the row of instant at with a blob of its own.
func sample(tenant string, at int64, size int) (index.Row, index.Entry, []byte) {
	row := index.RowAt(tenant, at)
	return row, index.Entry{Time: at, Key: row.BlobKey(at)}, noise(tenant, at, size)
}

// noise returns bytes that do not compress and that tenant and at determine.
func noise(tenant string, at int64, size int) []byte {
	var seed [32]byte
	copy(seed[:], fmt.Sprintf("%d %s", at, tenant))
	blob := make([]byte, size)
	_, _ = io.ReadFull(rand.NewChaCha8(seed), blob)
	return blob
}

func commit(t testing.TB, db *DB, tenant string, at int64, size int) {
	t.Helper()
	row, e, blob := sample(tenant, at, size)
	if err := db.Commit(t.Context(), row, e, blob); err != nil {
		t.Fatal(err)
	}
}

// entriesOf returns all entries of a tenant.
func entriesOf(t testing.TB, db *DB, tenant string) (entries []index.Entry) {
	t.Helper()
	for e, err := range db.Entries(context.Background(), tenant, -1<<63, 1<<63-1) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

// blobOf returns the blob of a key, nil when it is absent.
func blobOf(t testing.TB, db *DB, key string) []byte {
	t.Helper()
	found, err := tiertest.Found(context.Background(), db.Blobs(), []string{key})
	if err != nil {
		t.Fatal(err)
	}
	return found[key]
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got error %v, want %v", got, want)
	}
}

func TestIndexConformance(t *testing.T) {
	t.Parallel()
	open := func(t *testing.T) index.Index { return openIn(t, t.TempDir(), nil).Index() }
	indextest.Run(t, open)
	indextest.RunLarge(t, open)
}

func TestPlacesConformance(t *testing.T) {
	t.Parallel()
	open := func(t *testing.T) index.Index { return openIn(t, t.TempDir(), nil).Index() }
	indextest.RunPlaces(t, open)
	indextest.RunGuard(t, open)
	indextest.RunVersions(t, open)
}

func TestCommitterConformance(t *testing.T) {
	t.Parallel()
	indextest.RunCommitter(t, func(t *testing.T) indextest.Committed {
		db := openIn(t, t.TempDir(), nil)
		return indextest.Committed{Committer: db, Index: db.Index(), Blob: func(_ context.Context, key string) ([]byte, error) {
			return blobOf(t, db, key), nil
		}}
	})
}

func TestTierConformance(t *testing.T) {
	t.Parallel()
	open := func(t *testing.T) tiered.Tier {
		return openIn(t, filepath.Join(t.TempDir(), "a", "b"), nil).Blobs()
	}
	tiertest.Run(t, open)
	tiertest.RunLister(t, open)
}
