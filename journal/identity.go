package journal

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
)

// idName is the file with the journal's id: 32 hexadecimal digits and a newline. Frozen.
const idName = "ID"

const idSize = 33

// Exists reports whether a directory holds a journal.
func Exists(dir string) bool {
	names, err := osFiles{}.Names(dir)
	return err == nil && (slices.Contains(names, idName) || slices.Contains(names, stateName) || len(segmentsAmong(names)) > 0)
}

// ID returns what tells this journal from all others, wherever its directory is. It
// is empty while the journal has none, because its disk takes no writes or a version before
// ids made it and it is open to read only.
func (j *Journal) ID() string {
	if id := j.id.Load(); id != nil {
		return *id
	}
	return ""
}

// Last returns the number of the last record that was written, 0 for none. It grows while the journal is open, and the
// next Open finds it. A journal whose Last is less than before is an older copy of itself, or has lost its end.
func (j *Journal) Last() uint64 { return j.ledger.newest() }

// readID has ID return what the directory's file holds. A file that is damaged or cannot be
// read counts as missing.
func (j *Journal) readID() {
	f, err := j.opts.files.Open(filepath.Join(j.dir, idName), os.O_RDONLY)
	if err != nil {
		return
	}
	defer f.Close()
	b := make([]byte, idSize)
	if n, _ := f.ReadAt(b, 0); n < idSize {
		return
	}
	id := string(b[:idSize-1])
	if _, err := hex.DecodeString(id); err == nil && b[idSize-1] == '\n' {
		j.id.Store(&id)
	}
}

// makeID gives a journal without an id one, durably. Without room on the disk the next Open
// tries again.
func (j *Journal) makeID() {
	if j.ID() != "" {
		return
	}
	var b [idSize / 2]byte
	_, _ = rand.Read(b[:]) // it never fails
	id := hex.EncodeToString(b[:])
	if j.metrics.fault(j.writeID(id)) == nil {
		j.id.Store(&id)
	}
}

func (j *Journal) writeID(id string) error {
	files, draft := j.opts.files, filepath.Join(j.dir, idName+newSuffix)
	f, err := files.Open(draft, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(id+"\n"), 0)
	if err := errors.Join(err, f.Truncate(idSize), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := files.Rename(draft, filepath.Join(j.dir, idName)); err != nil {
		return err
	}
	return files.SyncDir(j.dir)
}
