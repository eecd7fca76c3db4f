package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/examples/sqlite"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/index/indextest"
	"github.com/timeblob/timeblob/tiered"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

func open(t *testing.T) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestIndex(t *testing.T) {
	t.Parallel()
	indextest.Run(t, func(t *testing.T) index.Index { return open(t).Index() })
}

func TestBlobs(t *testing.T) {
	t.Parallel()
	tiertest.Run(t, func(t *testing.T) tiered.Tier { return open(t).Blobs() })
}

func ExampleOpen() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "sqlite")
	defer os.RemoveAll(dir)
	db, err := sqlite.Open(filepath.Join(dir, "db"))
	if err != nil {
		panic(err)
	}
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC).UnixNano()
	row := index.RowAt("acme", at)
	entry := index.Entry{Time: at, Key: row.BlobKey(at), Size: 5, Sum: blob.SumOf([]byte("hello"))}
	fmt.Println(db.Blobs().Put(ctx, entry.Key, []byte("hello")), db.Index().Put(ctx, row, entry))

	entries, err := db.Index().Query(ctx, row, row.Start(), row.End())
	fmt.Println(len(entries), entries[0] == entry, err)
	fmt.Println(db.Close())
	// Output:
	// <nil> <nil>
	// 1 true <nil>
	// <nil>
}
