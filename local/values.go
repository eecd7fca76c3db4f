package local

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// checkValues refuses a directory of an earlier version of this package that lacks
// value files, or whose value files are shorter than they were. Pebble checks its
// tables when it is opened, but value files only when they are read, and then it
// panics, also in the background.
func checkValues(dir string, lock *pebble.Lock, opts *Options) error {
	names, err := opts.FS.List(dir)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(names, func(name string) bool { return separates(dir, name, opts) }) {
		return nil
	}
	fuse := newFuse(dir, opts)
	o := pebbleOptions(lock, opts, fuse)
	o.ReadOnly = true
	e, err := openPebble(dir, o, fuse)
	if err != nil {
		return err
	}
	live := e.pebble.Metrics().BlobFiles
	if err := e.close(); err != nil {
		return err
	}
	return compareValues(dir, names, opts, live.LiveCount, live.LiveSize)
}

// separates tells whether a file is a value file, or settings that make some.
func separates(dir, name string, opts *Options) bool {
	if !strings.HasPrefix(name, "OPTIONS-") {
		return isValueFile(name)
	}
	text, err := readFile(opts.FS, opts.FS.PathJoin(dir, name))
	return err == nil && strings.Contains(text, "[Value Separation]")
}

func isValueFile(name string) bool { return filepath.Ext(name) == ".blob" }

// compareValues compares the value files that are there with the number and the
// size of what the manifest names.
func compareValues(dir string, names []string, opts *Options, number, size uint64) error {
	var thereNumber, thereSize uint64
	var faults []error
	for _, name := range names {
		if !isValueFile(name) {
			continue
		}
		info, err := opts.FS.Stat(opts.FS.PathJoin(dir, name))
		if err != nil {
			faults = append(faults, err)
			continue
		}
		thereNumber, thereSize = thereNumber+1, thereSize+uint64(info.Size())
	}
	if thereNumber < number || thereSize < size {
		faults = append(faults, &DamageError{"a value file (.blob)", fmt.Sprintf(
			"%d such files of %d bytes in total are there, of %d and %d", thereNumber, thereSize, number, size)})
	}
	return errors.Join(faults...)
}
