//go:build unix && !linux

package servertest

import (
	"io"
	"strings"
	"syscall"
)

// attributes are those of any child: there is no way to tie it to this process here.
func attributes() *syscall.SysProcAttr { return nil }

// claim reserves nothing here: two test binaries may pick one port, and one of them then fails.
func claim(int) (reservation, error) { return io.NopCloser(strings.NewReader("")), nil }

// frozen trusts the signal.
func frozen(int) bool { return true }
