package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	smallBlob = 4 << 10
	largeBlob = 60 << 10
	writers   = 100
)

func storeWork(s scale) []work {
	var one, small, large, commits, waits []contender
	for _, o := range append(stores[:len(stores):len(stores)], floor) {
		if o.name != floor.name {
			one = append(one, reads(s.blobs, smallBlob, 1, o))
			small = append(small, reads(s.blobs, smallBlob, 50, o))
			large = append(large, reads(s.largeBlobs, largeBlob, 50, o))
		}
		commits = append(commits, synced(s, o, false))
		waits = append(waits, synced(s, o, true))
	}
	return []work{
		{name: "store: get of 1 blob of 4 kB, page cache", unit: "µs", contenders: one},
		{name: "store: get of 50 blobs of 4 kB, page cache", unit: "µs", contenders: small},
		{name: "store: get of 50 blobs of 60 kB, page cache", unit: "µs", contenders: large},
		{name: "store: synced commit of 4 kB, 100 writers", unit: "µs", contenders: commits},
		{name: "store: synced commit of 4 kB, 100 writers, time on the clock for each", unit: "µs", contenders: waits},
	}
}

// noise returns bytes that do not compress, the same ones for a number.
func noise(i, size int) []byte {
	blob := make([]byte, size)
	random := rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), byte(i >> 16), 1})
	_, _ = random.Read(blob) // never fails
	return blob
}

// inDirectory opens a store in a new directory, and returns how to remove both.
func inDirectory(o openStore) (store, func() error, error) {
	dir, err := os.MkdirTemp("", "peers-*")
	if err != nil {
		return nil, nil, err
	}
	db, err := o.open(dir)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return db, func() error { return errors.Join(db.close(), os.RemoveAll(dir)) }, nil
}

// reads reads blobs at random from a store that was closed and opened again, so that they are in its files, and has
// read each blob once, so that they are in the memory that the store and the operating system use.
func reads(blobs, size, batch int, o openStore) contender {
	return contender{name: o.name, note: o.note, open: func() (func() (float64, error), func() error, error) {
		db, end, err := inDirectory(o)
		if err != nil {
			return nil, nil, err
		}
		if err := commitAll(db, 0, noises(0, blobs, size)); err != nil {
			return nil, nil, errors.Join(err, end())
		}
		if err := reopened(db, blobs); err != nil {
			return nil, nil, errors.Join(err, end())
		}
		random := rand.New(rand.NewPCG(1, 2))
		return func() (float64, error) {
			asked := make([][]int, 2_000/batch)
			for i := range asked {
				asked[i] = random.Perm(blobs)[:batch]
			}
			return onCores(1, func() (float64, error) { return readBlobs(db, asked, size) })
		}, end, nil
	}}
}

// reopened opens the store again, and reads all of its blobs.
func reopened(db store, blobs int) error {
	if err := db.reopen(); err != nil {
		return err
	}
	for i := range blobs {
		if _, err := db.get([]string{db.key(i)}); err != nil {
			return err
		}
	}
	return nil
}

// readBlobs returns the processor time of one batch in microseconds. It looks at one blob of each batch.
func readBlobs(db store, asked [][]int, size int) (float64, error) {
	keys := make([][]string, len(asked))
	for i, numbers := range asked {
		for _, n := range numbers {
			keys[i] = append(keys[i], db.key(n))
		}
	}
	got := make([][]byte, len(asked))
	took, err := cpu(func() error {
		for i := range keys {
			values, err := db.get(keys[i])
			if err != nil {
				return err
			}
			got[i] = values[len(values)-1]
		}
		return nil
	})
	for i := range got {
		if numbers := asked[i]; err == nil && !bytes.Equal(got[i], noise(numbers[len(numbers)-1], size)) {
			err = fmt.Errorf("blob %d is not what was stored", numbers[len(numbers)-1])
		}
	}
	return float64(took) / float64(len(asked)) / float64(time.Microsecond), err
}

// noises returns n random blobs, numbered from first on.
func noises(first, n, size int) [][]byte {
	blobs := make([][]byte, n)
	for i := range blobs {
		blobs[i] = noise(first+i, size)
	}
	return blobs
}

// commitAll stores blobs under the numbers from first on, from as many writers as there are in the comparison.
func commitAll(db store, first int, blobs [][]byte) error {
	var next atomic.Int64
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(blobs) && errs[w] == nil; i = int(next.Add(1)) - 1 {
				errs[w] = db.commit(first+i, blobs[i])
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func synced(s scale, o openStore, clock bool) contender {
	return contender{name: o.name, note: o.note, open: func() (func() (float64, error), func() error, error) {
		db, end, err := inDirectory(o)
		first := 0
		return func() (float64, error) {
			blobs, begin := noises(first, s.writes, smallBlob), time.Time{}
			took, err := cpu(func() error {
				begin = time.Now()
				return commitAll(db, first, blobs)
			})
			if clock {
				took = time.Since(begin)
			}
			first += s.writes
			return float64(took) / float64(s.writes) / float64(time.Microsecond), err
		}, end, err
	}}
}
