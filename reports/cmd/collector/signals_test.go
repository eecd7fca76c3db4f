package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestSIGHUPStoresWhatIsHeld holds: a terminal that closes costs no report.
func TestSIGHUPStoresWhatIsHeld(t *testing.T) {
	t.Parallel()
	ours := make(chan os.Signal, 1)
	signal.Notify(ours, syscall.SIGHUP) // a child has the default of what its parent catches, and inherits what it ignores
	defer signal.Stop(ours)
	data := filepath.Join(t.TempDir(), "data")
	r := runServe(t, nil, "--data", data, "--tick", "1h", "--window", "5h")
	must(t, "push", "--to", r.url, write(t, filepath.Join(t.TempDir(), "1.json"), sample("one", 1)))
	_ = r.cmd.Process.Signal(syscall.SIGHUP)
	if code, _ := r.end(t); code != 0 || !strings.Contains(r.stderr.String(), "values_stored=1") {
		t.Errorf("exit %d: %s", code, r.stderr)
	}
}

// TestSIGHUPStaysIgnored holds: nohup keeps its effect.
func TestSIGHUPStaysIgnored(t *testing.T) {
	t.Parallel()
	for _, ignored := range []bool{false, true} {
		got := stopSignals(func(os.Signal) bool { return ignored })
		if slices.Contains(got, os.Signal(syscall.SIGHUP)) == ignored || !slices.Contains(got, os.Signal(syscall.SIGTERM)) {
			t.Errorf("ignored %v: %v end the command", ignored, got)
		}
	}
}
