package wal

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Frozen: the file that says how much of the newest log was on disk, and its
// length: log number, 8 | length, 8 | checksum of both, 4; little-endian.
const (
	SyncedName  = "SYNCED"
	syncedBytes = 8 + 8 + 4
)

// manifestName is the file that says the same of the newest manifest. Frozen.
const manifestName = "SYNCED-MANIFEST"

// Synced says how much of a log, or of a manifest, was on disk.
type Synced struct {
	Log    uint64
	Length int64
}

func (s Synced) bytes() []byte {
	b := binary.LittleEndian.AppendUint64(nil, s.Log)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.Length))
	return binary.LittleEndian.AppendUint32(b, checksum(b))
}

// ReadSynced reads what is known of the newest log in dir.
func ReadSynced(fsys vfs.FS, dir string) (Synced, error) { return readNote(fsys, dir, SyncedName) }

// readNote reads one of the files in dir. It returns the zero value when the file is
// missing or was cut by a crash: then less is known.
func readNote(fsys vfs.FS, dir, name string) (Synced, error) {
	f, err := fsys.Open(fsys.PathJoin(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return Synced{}, nil
	}
	if err != nil {
		return Synced{}, err
	}
	b, err := io.ReadAll(io.LimitReader(f, syncedBytes))
	if err := errors.Join(err, f.Close()); err != nil {
		return Synced{}, err
	}
	if len(b) < syncedBytes || binary.LittleEndian.Uint32(b[16:]) != checksum(b[:16]) {
		return Synced{}, nil
	}
	return Synced{binary.LittleEndian.Uint64(b), int64(binary.LittleEndian.Uint64(b[8:]))}, nil
}

// Note is a file that says how much of a log, or of a manifest, is on disk. It is
// opened by the first Write. It is not safe for concurrent use.
type Note struct {
	fsys vfs.FS
	path string
	file vfs.File // nil while it is not open
}

// NoteOfLogs returns the note of the logs in dir.
func NoteOfLogs(fsys vfs.FS, dir string) Note {
	return Note{fsys: fsys, path: fsys.PathJoin(dir, SyncedName)}
}

// NoteOfManifests returns the note of the manifests in dir.
func NoteOfManifests(fsys vfs.FS, dir string) Note {
	return Note{fsys: fsys, path: fsys.PathJoin(dir, manifestName)}
}

// Write writes s in place of what the file held.
func (n *Note) Write(s Synced) (err error) {
	if n.file == nil {
		if n.file, err = n.fsys.OpenReadWrite(n.path, vfs.WriteCategoryUnspecified); err != nil {
			n.file = nil
			return err
		}
	}
	_, err = n.file.WriteAt(s.bytes(), 0)
	return err
}

// Close lets go of the file.
func (n *Note) Close() (err error) {
	if n.file != nil {
		err, n.file = n.file.Close(), nil
	}
	return err
}
