package journal

import (
	"errors"
	"os"
	"path/filepath"
)

// Peek returns how many bytes the segments of the journal in a directory have, and the
// journal's ID. It does not read the segments. The error is a *LockedError when another
// process has the journal open.
func Peek(dir string) (bytes int64, id string, err error) {
	j := &Journal{dir: dir, opts: Options{files: osFiles{}}}
	lock, err := j.opts.files.Lock(filepath.Join(dir, lockName), true)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		info, err := e.Info()
		if _, ok := segmentID(e.Name()); ok && err == nil { // else it is gone
			bytes += info.Size()
		}
	}
	j.readID()
	return bytes, j.ID(), err
}
