package journal_test

import (
	"context"
	"fmt"
	"os"

	"github.com/timeblob/timeblob/journal"
)

// A value is kept until it is stored. A program that was killed before finds it
// again.
func Example() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	j, err := journal.Open(dir, &journal.Options{MaxBytes: 1 << 30})
	if err != nil {
		panic(err)
	}
	const arrived = 1 // what the kind means is the program's
	stored, err := j.Append(context.Background(), arrived, []byte("tenant-a"), []byte("first"))
	if err != nil {
		panic(err)
	}
	if _, err := j.Append(context.Background(), arrived, []byte("tenant-b"), []byte("second")); err != nil {
		panic(err)
	}
	j.End(stored)
	if err := j.Close(); err != nil {
		panic(err)
	}

	if j, err = journal.Open(dir, nil); err != nil {
		panic(err)
	}
	defer j.Close()
	for _, d := range j.Damage() {
		fmt.Println("damaged:", d)
	}
	err = j.Replay(func(id uint64, kind byte, meta, blob []byte, done bool) error {
		if !done {
			fmt.Printf("record %d of %s is to be stored: %s\n", id, meta, blob)
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	// Output: record 2 of tenant-b is to be stored: second
}
