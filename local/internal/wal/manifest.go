package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The manifest says which tables there are. Pebble reads it up to the first record
// that is damaged or cut, and takes the rest for a write that a crash has cut. Tables
// that only the rest names would be missing without a word. The file SYNCED-MANIFEST
// says how much of the newest manifest was on disk.

// manifestNumber returns the number of the manifest in a file's name.
func manifestNumber(name string) (number uint64, ok bool) {
	text, ok := strings.CutPrefix(filepath.Base(name), "MANIFEST-")
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseUint(text, 10, 64)
	return number, err == nil
}

// CheckManifest returns the name of the manifest and what is wrong with it, if it is not
// as it was when it was synced last. It checks only the manifest that Pebble's marker
// names. After a start that was cut short Pebble uses a number again, so another
// manifest may be shorter than its note says. Pebble does not read that one.
func CheckManifest(fsys vfs.FS, dir string) (name, what string, err error) {
	known, err := readNote(fsys, dir, manifestName)
	if err != nil || known.Log == 0 {
		return "", "", err
	}
	store, err := pebble.Peek(dir, fsys)
	if err != nil {
		return "", "", err
	}
	name = filepath.Base(store.ManifestFilename) // "." without a marker
	if number, ok := manifestNumber(name); !ok || number != known.Log {
		return "", "", nil
	}
	f, err := fsys.Open(fsys.PathJoin(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil // Pebble says that it is missing
	}
	if err != nil {
		return "", "", err
	}
	content, err := io.ReadAll(io.LimitReader(f, known.Length))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", "", fmt.Errorf("%s: %w", name, err)
	}
	if n := int64(len(content)); n < known.Length {
		return name, fmt.Sprintf("it has %d bytes, and had %d", n, known.Length), nil
	}
	return name, unreadable(content), nil
}

// unreadable returns which record of a manifest cannot be read.
func unreadable(content []byte) (what string) {
	records := record.NewReader(bytes.NewReader(content), 0)
	for {
		at := records.Offset()
		r, err := records.Next()
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		} else if errors.Is(err, io.EOF) {
			return ""
		}
		if err != nil {
			return fmt.Sprintf("the record at byte %d cannot be read: %v", at, err)
		}
	}
}

// Manifests notes in SYNCED-MANIFEST how much of the newest manifest is on disk.
type Manifests struct {
	Note  Note         // used by one goroutine at a time
	Blown func() error // why nothing may reach the disk any more

	mu sync.Mutex // held while Note is used
}

// manifestFile is a manifest that is being written, by one goroutine at a time.
type manifestFile struct {
	vfs.File
	manifests *Manifests
	synced    Synced // what is written, and on disk after the next sync
}

// Opened returns the file that Pebble is given in place of one that it has created.
func (m *Manifests) Opened(name string, file vfs.File) vfs.File {
	number, ok := manifestNumber(name)
	if !ok {
		return file
	}
	return &manifestFile{file, m, Synced{Log: number}}
}

func (f *manifestFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.synced.Length += int64(n)
	return n, err
}

func (f *manifestFile) Sync() error     { return f.noted(f.File.Sync()) }
func (f *manifestFile) SyncData() error { return f.noted(f.File.SyncData()) }

// noted notes the length after a sync.
func (f *manifestFile) noted(err error) error {
	if err == nil && f.manifests.Blown() == nil {
		f.manifests.remember(f.synced)
	}
	return err
}

// remember notes how much of a manifest is on disk. A note that cannot be written is
// no fault: less is known of damage then.
func (m *Manifests) remember(s Synced) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.Note.Write(s)
}

// Close lets go of the file.
func (m *Manifests) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Note.Close()
}
