//go:build !linux

package servertest

import (
	"io"
	"strings"
	"syscall"
)

// attributes are the defaults: this system cannot tie a child to its parent.
func attributes() *syscall.SysProcAttr { return nil }

// claim reserves nothing: two test binaries may pick one port, and one of them then fails.
func claim(int) (io.Closer, error) { return io.NopCloser(strings.NewReader("")), nil }

// frozen trusts the signal.
func frozen(int) bool { return true }
