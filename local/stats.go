package local

import (
	"context"
	"errors"
)

// Stats are figures of a DB.
type Stats struct {
	DiskBytes    uint64 // all files, with what is to be removed soon
	EntryBytes   uint64 // of entries in tables, estimated
	BlobBytes    uint64 // of blobs in tables and value files, estimated
	BacklogBytes uint64 // that compactions have yet to rewrite, estimated
}

// Stats returns the store's figures. It costs milliseconds and reads little.
// Recent writes are in the log and count only in DiskBytes.
func (db *DB) Stats(ctx context.Context) (Stats, error) {
	var s Stats
	err := db.read(ctx, func(e *engine) error {
		var entries, blobs error
		s.EntryBytes, entries = e.pebble.EstimateDiskUsage([]byte{entrySpace}, []byte{entrySpace + 1})
		s.BlobBytes, blobs = e.pebble.EstimateDiskUsage([]byte{blobSpace}, []byte{ageLessSpace + 1})
		m := e.pebble.Metrics()
		s.DiskBytes = m.DiskSpaceUsage()
		s.BacklogBytes = m.Compact.EstimatedDebt
		return errors.Join(entries, blobs)
	})
	return s, err
}
