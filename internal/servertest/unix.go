//go:build unix

package servertest

import (
	"os"
	"syscall"
)

// pause asks the system to stop every thread of the process.
func pause(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

// resume lets a stopped process go on.
func resume(p *os.Process) error { return p.Signal(syscall.SIGCONT) }
