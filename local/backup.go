package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Backup writes a copy of the store to a new directory, which holds all that was
// committed before the call. The store stays in use meanwhile. On the same file
// system tables are hard links and the copy is made in milliseconds; then damage
// to such a file damages both. A copy that was cut short is no store: Open refuses
// it. To go back, open the copy, or put it in the place of the directory.
func (db *DB) Backup(ctx context.Context, to string) error {
	err := db.read(ctx, func(e *engine) error { return db.backup(e, to) })
	if err != nil {
		return fmt.Errorf("back up store %q to %q: %w", db.dir, to, err)
	}
	return nil
}

func (db *DB) backup(e *engine, to string) error {
	fsys := db.opts.FS
	if to == "" {
		return errors.New("no directory given")
	}
	to, inside, err := within(fsys, to, db.dir)
	if err != nil {
		return err
	}
	if inside {
		return errors.New("the copy must not be inside the store")
	}
	if _, err := fsys.Stat(to); err == nil {
		return errors.New("it is there already: give a directory that is not")
	}
	if err := makeDirectory(fsys, fsys.PathDir(to), common); err != nil {
		return err
	}
	if err := e.save(); err != nil {
		return err
	}
	if err := e.pebble.Checkpoint(to, pebble.WithFlushedWAL()); err != nil {
		return err
	}
	if fsys == vfs.Default { // Pebble makes it for everyone
		if err := os.Chmod(to, private); err != nil {
			return err
		}
	}
	return writeFormat(fsys, to)
}

// within returns a path as an absolute one, and whether it is dir or inside it.
func within(fsys vfs.FS, path, dir string) (absolute string, inside bool, err error) {
	if fsys == vfs.Default {
		if path, err = filepath.Abs(path); err != nil {
			return "", false, err
		}
	}
	return path, path == dir || strings.HasPrefix(path, dir+string(filepath.Separator)), nil
}
