//go:build !unix || aix || solaris || illumos

package journal

import (
	"errors"
	"fmt"
	"io"
)

// Lock fails: the journal needs a lock that ends with the process.
func (osFiles) Lock(name string, _ bool) (io.Closer, error) {
	return nil, fmt.Errorf("lock %s: this system has no flock: %w", name, errors.ErrUnsupported)
}
