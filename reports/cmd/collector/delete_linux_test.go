package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// openTerminal returns the two ends of a new terminal.
func openTerminal(t *testing.T) (person, process *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("the system has no terminals: ", err)
	}
	t.Cleanup(func() { person.Close() })
	var unlock, number int32
	for request, value := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlock, syscall.TIOCGPTN: &number} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, person.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Fatal(errno)
		}
	}
	process, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("the system has no terminals: ", err)
	}
	t.Cleanup(func() { process.Close() })
	return person, process
}

// TestDeleteAsks checks that the command asks on a terminal, and that an interrupt ends the question.
func TestDeleteAsks(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	must(t, append([]string{"import", "--data", data}, hourly(t, 3)...)...)
	for _, c := range []struct {
		typed, stderr, stdout string
		code                  int
	}{
		{"n\n", "collector: not confirmed: nothing was deleted\n", "", 1},
		{"", "collector: interrupted\n", "", 1},
		{"y\n", "Delete this for good? (y/N) ", "deleted 3 values and 3 blobs, in ", 0},
	} {
		person, process := openTerminal(t)
		ctx, interrupt := context.WithCancel(t.Context())
		if _, err := person.WriteString(c.typed); err != nil {
			t.Fatal(err)
		}
		asked := &noticing{text: "(y/N)", then: func() {
			if c.typed == "" {
				interrupt()
			}
		}}
		var stdout buffer
		args := []string{"delete", "--data", data, "--tenant=", "--start", "-72h", "--end", "now", "--wait", "0"}
		code := collector.Run(ctx, args, process, &stdout, asked, func(string) (string, bool) { return "", false })
		_, _ = person.WriteString("\n") // ends a read that is still under way
		interrupt()
		if code != c.code || !strings.HasPrefix(stdout.String(), c.stdout) || !strings.HasSuffix(asked.String(), c.stderr) {
			t.Errorf("%q: exit %d, said %q, %q", c.typed, code, stdout.String(), asked.String())
		}
	}
}

// noticing is a buffer that calls a function once a text is written.
type noticing struct {
	buffer
	text string
	then func()
}

func (n *noticing) Write(p []byte) (int, error) {
	if strings.Contains(string(p), n.text) {
		n.then()
	}
	return n.buffer.Write(p)
}
