package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/internal/servertest"
)

// built is a collector in a process, built without the race detector. The test watches the memory of the
// process.
type built struct {
	*served
	most atomic.Int64 // the most memory that it held, in bytes
}

// startBuilt builds the command and starts it on a new embedded store.
func startBuilt(t *testing.T, args ...string) *built {
	t.Helper()
	program := servertest.Built(t, ".")
	args = append([]string{"serve", "--listen", "127.0.0.1:0", "--log-level", "error"}, append(embedded(t), args...)...)
	b := &built{served: launch(t, exec.Command(program, args...))}
	watching := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for every := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-every.C:
				b.most.Store(max(b.most.Load(), b.memory()))
			case <-watching:
				return
			}
		}
	}()
	t.Cleanup(func() { close(watching); <-ended })
	return b
}

// memory returns the memory of the process in bytes, or 0 after its end.
func (b *built) memory() int64 { return b.status("VmRSS:") }

// peak returns the most memory that the process has ever had, in bytes, as the kernel counts it.
func (b *built) peak(t *testing.T) int64 {
	t.Helper()
	n := b.status("VmHWM:")
	if n == 0 {
		t.Fatal("the process has ended")
	}
	return n
}

// status returns a size in the status of the process, or 0 after its end.
func (b *built) status(name string) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), name)
	kB, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, _ := strconv.ParseInt(kB, 10, 64)
	return n << 10
}

// metric returns the value of a metric without labels.
func (b *built) metric(t *testing.T, name string) float64 {
	t.Helper()
	resp, err := http.Get(b.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
