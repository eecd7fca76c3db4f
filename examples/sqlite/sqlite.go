// Package sqlite is an index and an authority of blobs in one SQLite file. It was
// written from the documentation of packages index and tiered alone, to show what
// a driver takes.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"modernc.org/sqlite" // pure Go
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/index"
)

const schema = `
CREATE TABLE IF NOT EXISTS entries (
	tenant TEXT NOT NULL, time INTEGER NOT NULL, key TEXT NOT NULL, size INTEGER NOT NULL, sum BLOB NOT NULL,
	PRIMARY KEY (tenant, time)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blobs (key TEXT PRIMARY KEY, blob BLOB NOT NULL) WITHOUT ROWID;`

// DB is a SQLite file. It is safe for any number of goroutines and processes.
type DB struct{ sql *sql.DB }

// Open opens a file, which it creates when there is none.
func Open(file string) (*DB, error) {
	// A write waits for the writes of others. With the write-ahead log readers
	// wait for nobody, and a commit is on disk when it returns.
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)")
	if err != nil {
		return nil, err
	}
	if _, err := db.Exec(schema); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", file, err), db.Close())
	}
	return &DB{db}, nil
}

// Close closes the file.
func (db *DB) Close() error { return db.sql.Close() }

// Index returns the index that the database holds.
func (db *DB) Index() *Index { return &Index{db.sql} }

// Blobs returns the blobs.
func (db *DB) Blobs() *Blobs { return &Blobs{db.sql} }

// Index is the entries of a DB.
type Index struct{ sql *sql.DB }

// Put implements index.Index.
func (x *Index) Put(ctx context.Context, row index.Row, e index.Entry) error {
	_, err := x.sql.ExecContext(ctx, "INSERT INTO entries VALUES (?, ?, ?, ?, ?)", row.Tenant, e.Time, e.Key, e.Size, e.Sum[:])
	return taken(err)
}

// Query implements index.Index. A row is a slice of time of a tenant here, so that
// two rows with the same Row.Key are told apart; the bounds are cut to the hour.
func (x *Index) Query(ctx context.Context, row index.Row, from, to int64) (found []index.Entry, err error) {
	rows, err := x.sql.QueryContext(ctx,
		"SELECT time, key, size, sum FROM entries WHERE tenant = ? AND time >= ? AND time < ? ORDER BY time",
		row.Tenant, max(from, row.Start()), min(to, row.End()))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			e   index.Entry
			sum []byte
		)
		if err := rows.Scan(&e.Time, &e.Key, &e.Size, &sum); err != nil {
			return nil, err
		}
		copy(e.Sum[:], sum)
		found = append(found, e)
	}
	return found, rows.Err()
}

// Blobs is the blobs of a DB: a tier that can be the authority.
type Blobs struct{ sql *sql.DB }

// Get implements tiered.Tier.
func (b *Blobs) Get(ctx context.Context, keys []string) ([][]byte, error) {
	blobs := make([][]byte, len(keys))
	for i, key := range keys {
		err := b.sql.QueryRowContext(ctx, "SELECT blob FROM blobs WHERE key = ?", key).Scan(&blobs[i])
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return blobs, err
		}
		if err == nil && blobs[i] == nil {
			blobs[i] = []byte{} // an empty blob, which is there
		}
	}
	return blobs, nil
}

// Put implements tiered.Tier.
func (b *Blobs) Put(ctx context.Context, key string, blob []byte) error {
	if blob == nil {
		blob = []byte{} // nil would be NULL
	}
	_, err := b.sql.ExecContext(ctx, "INSERT INTO blobs VALUES (?, ?)", key, blob)
	return taken(err)
}

// taken returns blob.ErrExists for an error which says that a primary key exists.
func taken(err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) && e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY {
		return blob.ErrExists
	}
	return err
}
