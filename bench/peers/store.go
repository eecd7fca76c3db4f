package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/dgraph-io/badger/v4"
	"go.etcd.io/bbolt"
)

// storeCache is the memory that each store may use for blocks.
const storeCache = 64 << 20

// store keeps blobs in a directory, each under its number.
type store interface {
	key(i int) string
	// get returns copies of blobs, by index.
	get(keys []string) ([][]byte, error)
	// commit returns when the blob is on disk. Many may be under way.
	commit(i int, value []byte) error
	// reopen closes the store and opens it again.
	reopen() error
	close() error
}

type openStore struct {
	name, note string
	open       func(dir string) (store, error)
}

var stores = []openStore{
	{"timeblob local", "an entry beside each blob", openOursStore},
	{"bbolt", "mmap: no checksums", openBolt},
	{"badger v4", "", openBadger},
}

// floor is what a synced commit costs at least: one append, and a sync that all writers share.
var floor = openStore{"append + shared sync", "the floor, not a store", openAppender}

type boltStore struct {
	db  *bbolt.DB
	dir string
}

var boltBucket = []byte("blobs")

func openBolt(dir string) (store, error) {
	db, err := bbolt.Open(filepath.Join(dir, "bolt"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	return &boltStore{db, dir}, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(boltBucket)
		return err
	})
}

func (*boltStore) key(i int) string { return keyOf(i) }

func (s *boltStore) get(keys []string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	return values, s.db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(boltBucket)
		for i, key := range keys {
			if value := bucket.Get([]byte(key)); value != nil {
				values[i] = append([]byte{}, value...)
			}
		}
		return nil
	})
}

func (s *boltStore) commit(i int, value []byte) error {
	return s.db.Batch(func(tx *bbolt.Tx) error { return tx.Bucket(boltBucket).Put([]byte(keyOf(i)), value) })
}

func (s *boltStore) reopen() (err error) {
	if err = s.db.Close(); err == nil {
		s.db, err = bbolt.Open(filepath.Join(s.dir, "bolt"), 0o600, nil)
	}
	return err
}

func (s *boltStore) close() error { return s.db.Close() }

type badgerStore struct{ db *badger.DB }

func openBadger(dir string) (store, error) {
	db, err := badger.Open(badger.DefaultOptions(dir).WithLogger(nil).WithSyncWrites(true).WithBlockCacheSize(storeCache))
	return &badgerStore{db}, err
}

func (s *badgerStore) reopen() (err error) {
	options := s.db.Opts()
	if err = s.db.Close(); err == nil {
		s.db, err = badger.Open(options)
	}
	return err
}

func (*badgerStore) key(i int) string { return keyOf(i) }

func (s *badgerStore) get(keys []string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	return values, s.db.View(func(tx *badger.Txn) error {
		for i, key := range keys {
			item, err := tx.Get([]byte(key))
			if errors.Is(err, badger.ErrKeyNotFound) {
				continue
			}
			if err == nil {
				values[i], err = item.ValueCopy(nil)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *badgerStore) commit(i int, value []byte) error {
	return s.db.Update(func(tx *badger.Txn) error { return tx.Set([]byte(keyOf(i)), value) })
}

func (s *badgerStore) close() error { return s.db.Close() }

// appender writes to one file. A writer that finds no sync under way syncs for all writers before it.
type appender struct {
	file *os.File

	mu      sync.Mutex // guards what follows
	synced  *sync.Cond
	written int // commits written
	durable int // commits on disk
	syncing bool
}

func openAppender(dir string) (store, error) {
	file, err := os.Create(filepath.Join(dir, "log"))
	a := &appender{file: file}
	a.synced = sync.NewCond(&a.mu)
	return a, err
}

func (*appender) key(i int) string { return keyOf(i) }

func (*appender) get([]string) ([][]byte, error) { return nil, fmt.Errorf("the floor reads nothing") }

func (a *appender) commit(_ int, value []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.file.Write(value); err != nil {
		return err
	}
	a.written++
	for own := a.written; a.durable < own; {
		if a.syncing {
			a.synced.Wait()
			continue
		}
		if err := a.sync(); err != nil {
			return err
		}
	}
	return nil
}

// sync lets go of the lock while the file is synced.
func (a *appender) sync() error {
	upTo := a.written
	a.syncing = true
	a.mu.Unlock()
	err := a.file.Sync()
	a.mu.Lock()
	a.syncing = false
	if err == nil {
		a.durable = max(a.durable, upTo)
	}
	a.synced.Broadcast()
	return err
}

func (*appender) reopen() error { return nil }

func (a *appender) close() error { return a.file.Close() }
