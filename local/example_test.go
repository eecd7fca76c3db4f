package local_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/local"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "timeblob")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db, err := local.Open(dir, &local.Options{Retention: 100 * 365 * 24 * time.Hour})
	if err != nil {
		panic(err)
	}
	defer db.Close()

	ctx := context.Background()
	t := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC).UnixNano()
	row := index.RowAt("acme", t)
	entry := index.Entry{Time: t, Key: row.BlobKey(t)}
	fmt.Println(db.Commit(ctx, row, entry, []byte("a blob")))
	fmt.Println(errors.Is(db.Commit(ctx, row, entry, []byte("another")), index.ErrExists))

	entries, err := db.Index().Query(ctx, row, row.Start(), row.End())
	fmt.Println(entries[0].Time, entries[0].Key, err)
	blobs, err := db.Blobs().Get(ctx, []string{entry.Key, "absent"})
	fmt.Printf("%q %v\n", blobs, err)
	// Output:
	// <nil>
	// true
	// 1777636800000000000 082990d0262fde732292090b4a06e5ea/1777636800000000000 <nil>
	// ["a blob" ""] <nil>
}

func ExampleDB_Entries() {
	dir, err := os.MkdirTemp("", "timeblob")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db, err := local.Open(dir, nil)
	if err != nil {
		panic(err)
	}
	defer db.Close()

	ctx := context.Background()
	for hour := range int64(3) {
		row := index.Row{Tenant: "acme", Hour: hour}
		entry := index.Entry{Time: row.Start(), Key: fmt.Sprint("hour ", hour)}
		if err := db.Index().Put(ctx, row, entry); err != nil {
			panic(err)
		}
	}
	fmt.Println(db.Tenants(ctx))
	for entry, err := range db.Entries(ctx, "acme", 1, 3*int64(time.Hour)) {
		fmt.Println(time.Duration(entry.Time), entry.Key, err)
	}
	// Output:
	// [acme] <nil>
	// 1h0m0s hour 1 <nil>
	// 2h0m0s hour 2 <nil>
}
