//go:build unix && !aix && !solaris && !illumos

package journal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Lock takes a lock that ends with the process, whatever ends it.
func (osFiles) Lock(name string, shared bool) (io.Closer, error) {
	flag, how := os.O_RDWR|os.O_CREATE, syscall.LOCK_EX
	if shared {
		flag, how = os.O_RDONLY, syscall.LOCK_SH
	}
	f, err := os.OpenFile(name, flag, 0o600)
	if shared && errors.Is(err, fs.ErrNotExist) {
		return io.NopCloser(nil), nil // nobody has written here yet
	}
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err != nil {
		f.Close()
		if err == syscall.EWOULDBLOCK {
			return nil, &LockedError{Dir: filepath.Dir(name)}
		}
		return nil, os.NewSyscallError("flock", err)
	}
	return flocked{f}, nil
}

// flocked is a file whose lock is held.
type flocked struct{ *os.File }

// Close gives the lock back by name. Closing the file alone would not, while a
// process that is being started by this one still has the file.
func (f flocked) Close() error {
	return errors.Join(os.NewSyscallError("flock", syscall.Flock(int(f.Fd()), syscall.LOCK_UN)), f.File.Close())
}
