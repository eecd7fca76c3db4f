package local

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/timeblob/timeblob/local/internal/wal"
)

// Frozen: the file that says what the directory holds, so that it can be
// refused before anything in it is touched.
const (
	formatName    = "FORMAT"
	formatDraft   = "FORMAT.tmp"
	formatPrefix  = "timeblob local "
	formatVersion = 2
)

// takeDirectory makes sure that dir is a directory of this store, an empty one
// becomes one, and locks it against other processes and this one. It returns
// the path the directory is called by from now on. Only a repair takes a directory that
// an earlier repair left unfinished.
func takeDirectory(fsys vfs.FS, dir string, repairing bool) (string, *pebble.Lock, error) {
	if err := makeDirectory(fsys, dir, private); err != nil {
		return "", nil, err
	}
	dir, err := oneName(fsys, dir)
	if err != nil {
		return "", nil, err
	}
	if err := checkListing(fsys, dir, repairing); err != nil {
		return "", nil, err
	}
	lock, err := lockDirectory(fsys, dir)
	if err != nil {
		return "", nil, err
	}
	if err := checkFormat(fsys, dir); err != nil {
		return "", nil, errors.Join(err, lock.Close())
	}
	return dir, lock, nil
}

// Exists reports whether a directory holds a store.
func Exists(dir string, opts *Options) bool {
	full, err := opts.filled()
	if err != nil {
		return false
	}
	_, err = full.FS.Stat(full.FS.PathJoin(dir, formatName))
	return err == nil
}

// oneName returns the same path for all the names a directory of the operating
// system has: locks are per process there, so Pebble tells apart by path what
// this process holds.
func oneName(fsys vfs.FS, dir string) (string, error) {
	if fsys != vfs.Default {
		return dir, nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

// Permissions of the directories that are made. Only the user of the process may enter a store, because values may
// hold secrets.
const (
	private fs.FileMode = 0o700
	common  fs.FileMode = 0o755
)

// makeDirectory creates dir with the permissions, and its missing parents, durably.
func makeDirectory(fsys vfs.FS, dir string, mode fs.FileMode) error {
	info, err := fsys.Stat(dir)
	switch {
	case dir == "":
		return errors.New("no directory given")
	case err == nil && !info.IsDir():
		return errors.New("is a file, not a directory")
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if parent := fsys.PathDir(dir); parent != dir {
		if err := makeDirectory(fsys, parent, common); err != nil {
			return err
		}
	}
	if err := fsys.MkdirAll(dir, mode); err != nil {
		return err
	}
	return syncDirectory(fsys, fsys.PathDir(dir))
}

func syncDirectory(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// checkListing refuses a directory that holds other things than this store, and
// one whose store has lost the file that leads to all others: Pebble would begin
// an empty one in its place. It also refuses one that a repair left unfinished,
// unless this is a repair.
func checkListing(fsys vfs.FS, dir string, repairing bool) error {
	names, err := fsys.List(dir)
	if err != nil {
		return err
	}
	if !repairing && slices.Contains(names, unfinishedName) {
		return errUnfinished
	}
	if !slices.Contains(names, formatName) {
		if slices.Contains(names, wal.SyncedName) && slices.ContainsFunc(names, isManifestMarker) {
			return &DamageError{formatName, "it is missing"}
		}
		if i := slices.IndexFunc(names, foreign); i >= 0 {
			return fmt.Errorf("holds something else (%q): give an empty directory, or one made by this store", names[i])
		}
		return nil
	}
	if slices.ContainsFunc(names, holdsData) && !slices.ContainsFunc(names, isManifestMarker) {
		return &DamageError{"marker.manifest", "marker.manifest is missing"}
	}
	return nil
}

// foreign tells what a start that was cut short, or a file system of its own,
// does not leave behind.
func foreign(name string) bool {
	return name != "LOCK" && name != formatDraft && name != unfinishedName && name != "lost+found"
}

func holdsData(name string) bool {
	return slices.Contains([]string{".sst", ".blob", ".log"}, filepath.Ext(name))
}

func isManifestMarker(name string) bool { return strings.HasPrefix(name, "marker.manifest.") }

func lockDirectory(fsys vfs.FS, dir string) (*pebble.Lock, error) {
	lock, err := pebble.LockDirectory(dir, fsys)
	if errors.Is(err, syscall.EROFS) {
		return pebble.LockDirectory(dir, unlocked{fsys})
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("no permission to write: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("another process, or this one, holds it (%w): close it there first", err)
	}
	return lock, nil
}

// checkFormat refuses a format version that this program does not know, and
// writes the version where there is none.
func checkFormat(fsys vfs.FS, dir string) error {
	_, err := readFormat(fsys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return writeFormat(fsys, dir)
	}
	return err
}

// raiseFormat raises an older format version and returns the one that the
// directory has then. Where raising fails the directory stays at its version,
// and entries are stored as that version stores them.
func raiseFormat(fsys vfs.FS, dir string, log *slog.Logger) (int, error) {
	version, err := readFormat(fsys, dir)
	if err != nil || version == formatVersion {
		return version, err
	}
	if err := writeFormat(fsys, dir); err != nil {
		log.Warn("store keeps its older format version: entries have neither size nor sum",
			"dir", dir, "version", version, "err", err.Error())
		return version, nil
	}
	return formatVersion, nil
}

// versionError says that a newer program has written a directory.
type versionError struct{ version int }

func (e *versionError) Error() string {
	return fmt.Sprintf("has format version %d, this program knows %d: use a newer program", e.version, formatVersion)
}

// readFormat returns the format version that the directory says it has.
func readFormat(fsys vfs.FS, dir string) (int, error) {
	text, err := readFile(fsys, fsys.PathJoin(dir, formatName))
	if err != nil {
		return 0, err
	}
	number, ok := strings.CutPrefix(strings.TrimSuffix(text, "\n"), formatPrefix)
	version, err := strconv.Atoi(number)
	switch {
	case !ok || err != nil || version < 1:
		return 0, &DamageError{formatName, fmt.Sprintf("it holds %.40q, which is no format version of this store", text)}
	case version > formatVersion:
		return 0, &versionError{version}
	}
	return version, nil
}

func readFile(fsys vfs.FS, name string) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	return string(text), errors.Join(err, f.Close())
}

// writeFormat writes the format version.
func writeFormat(fsys vfs.FS, dir string) error {
	return writeWhole(fsys, dir, formatName, formatDraft, formatPrefix+strconv.Itoa(formatVersion)+"\n")
}

// writeWhole writes a file, through a draft, so that it is there whole or not.
func writeWhole(fsys vfs.FS, dir, name, draft, text string) error {
	draft = fsys.PathJoin(dir, draft)
	f, err := fsys.Create(draft, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(draft, fsys.PathJoin(dir, name)); err != nil {
		return err
	}
	return syncDirectory(fsys, dir)
}
