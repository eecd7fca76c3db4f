package journal

import (
	"io"
	"os"
)

// files are the few calls of the operating system that a journal makes.
type files interface {
	Open(name string, flag int) (file, error)
	Rename(from, to string) error
	Remove(name string) error
	Names(dir string) ([]string, error)
	MkdirAll(dir string) error
	// SyncDir forces the names in a directory to the disk.
	SyncDir(dir string) error
	// Lock takes the lock of a file, for this process alone, or shared. It
	// returns a *LockedError without waiting when another process has it.
	Lock(name string, shared bool) (io.Closer, error)
}

// file is an open file.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Stat() (os.FileInfo, error)
	Sync() error
}

// osFiles are the files of the operating system.
type osFiles struct{}

func (osFiles) Open(name string, flag int) (file, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFiles) Rename(from, to string) error { return os.Rename(from, to) }
func (osFiles) Remove(name string) error     { return os.Remove(name) }
func (osFiles) MkdirAll(dir string) error    { return os.MkdirAll(dir, 0o700) }

func (osFiles) Names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (osFiles) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// osFile is a file whose Sync leaves out what is not needed to read it again.
type osFile struct{ *os.File }

func (f osFile) Sync() error { return datasync(f.File) }
