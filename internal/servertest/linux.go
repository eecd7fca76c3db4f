//go:build linux

package servertest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// attributes make the kernel kill the server when the test binary ends, however it ends.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// claim takes a machine-wide lock on a port number: an abstract socket named for the port. It leaves no
// file and goes with its process. Processes in another network namespace have their own, and their
// own ports.
func claim(port int) (io.Closer, error) {
	return net.Listen("unix", fmt.Sprintf("@timeblob-servertest-%d", port))
}

// frozen tells whether every thread of the process is in the state T (stopped): see proc_pid_stat(5).
// The state follows the name in parentheses, which may itself hold any character.
func frozen(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		return false
	}
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" T")) {
			return false
		}
	}
	return true
}
