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

// Manifest is what CheckManifest has found.
type Manifest struct {
	Name   string // of the file that Pebble's marker names; "" when there is none
	Damage string // what is wrong with it, "" for nothing
	Whole  bool   // a note says how much of it was on disk, and all of it can be read
}

// CheckManifest compares the manifest with its note. It checks only the manifest that
// Pebble's marker names.
func CheckManifest(fsys vfs.FS, dir string) (m Manifest, err error) {
	known, err := readNote(fsys, dir, manifestName)
	if err != nil {
		return m, err
	}
	store, err := pebble.Peek(dir, fsys)
	if err != nil {
		return m, err
	}
	name := filepath.Base(store.ManifestFilename) // "." without a marker
	number, ok := manifestNumber(name)
	if !ok {
		return m, nil
	}
	m.Name = name
	f, err := fsys.Open(fsys.PathJoin(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil // Pebble says that it is missing
	}
	if err != nil {
		return m, err
	}
	content, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return m, fmt.Errorf("%s: %w", name, err)
	}
	if number != known.Log {
		known.Length = 0
	}
	m.judge(content, known.Length)
	return m, nil
}

// judge notes what is wrong with the content of a manifest. So many bytes were on disk by
// the note; without a note length is 0.
func (m *Manifest) judge(content []byte, length int64) {
	at, err := unreadable(content)
	switch {
	case int64(len(content)) < length:
		m.Damage = fmt.Sprintf("it has %d bytes, and had %d", len(content), length)
	case err != nil && at < length:
		m.Damage = fmt.Sprintf("the record at byte %d cannot be read: %v", at, err)
	}
	m.Whole = err == nil && length > 0
}

// unreadable returns where the first record of a manifest stands that cannot be read, and
// why it cannot.
func unreadable(content []byte) (at int64, err error) {
	records := record.NewReader(bytes.NewReader(content), 0)
	for {
		at = records.Offset()
		r, err := records.Next()
		if errors.Is(err, io.EOF) {
			return at, nil
		}
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err != nil {
			return at, err
		}
	}
}

// Manifests notes in SYNCED-MANIFEST how much of the newest manifest is on disk. It writes
// no note of a manifest before its marker is on disk. Otherwise a crash could lose the
// manifest and keep its note, and another manifest could get the number.
type Manifests struct {
	Note  Note         // used by one goroutine at a time
	Blown func() error // why nothing may reach the disk any more

	mu      sync.Mutex // guards what follows, and is held while Note is used
	synced  Synced     // the manifest that is being written
	made    uint64     // the number of the manifest that the newest marker names
	lasting uint64     // the same of the newest marker that is on disk
}

// markerPrefix begins the name of Pebble's marker, which ends with the manifest's name.
const markerPrefix = "marker.manifest."

// Created is told the name of each file that Pebble has created.
func (m *Manifests) Created(name string) {
	name = filepath.Base(name)
	if !strings.HasPrefix(name, markerPrefix) {
		return
	}
	if number, ok := manifestNumber(strings.TrimPrefix(filepath.Ext(name), ".")); ok {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.made = number
	}
}

// Made returns the number of the manifest that the newest marker names, 0 for none. A
// sync of the directory that begins now makes that marker last.
func (m *Manifests) Made() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.made
}

// Lasts is told that the marker of a manifest is on disk.
func (m *Manifests) Lasts(number uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lasting < number {
		m.lasting = number
		m.note()
	}
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

// remember notes how much of a manifest is on disk.
func (m *Manifests) remember(s Synced) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.synced = s
	m.note()
}

// note writes the note, if its manifest's marker is on disk. A note that cannot be
// written is no fault: less is known of damage then. The caller holds mu.
func (m *Manifests) note() {
	if m.lasting != 0 && m.lasting == m.synced.Log {
		_ = m.Note.Write(m.synced)
	}
}

// Close lets go of the file.
func (m *Manifests) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Note.Close()
}
