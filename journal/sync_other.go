//go:build !linux

package journal

import "os"

// datasync forces a file to the disk.
func datasync(f *os.File) error { return f.Sync() }
