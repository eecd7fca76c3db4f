package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// The limit for decompressed files is the collector's limit for posts unless a flag changes it.
func TestFilesThatInflateTooFarAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bomb := zipped(make([]byte, wire.DefaultMaxBytes+1))
	if err := os.Mkdir(filepath.Join(dir, "bomb"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bomb", "1.msgpack.gz"), bomb, 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "small", "1.json.gz"), sample("one", 1))
	built := func(args []string) result { // the race detector makes inflating slow
		var stdout, stderr bytes.Buffer
		cmd := exec.Command(servertest.Built(t, "."), args...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run() // the exit code says how it ended
		return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	}
	for _, args := range [][]string{{"inspect"}, {"merge"}, {"import", "--data", filepath.Join(dir, "data")}} {
		for _, more := range [][]string{{filepath.Join(dir, "bomb")}, {"--max-inflated", "100B", filepath.Join(dir, "small")}} {
			r := built(slices.Concat(args, more))
			if r.code != 1 || !strings.Contains(r.stderr, "(--max-inflated allows more)") {
				t.Errorf("%s %q: exit %d, said %q", args[0], more, r.code, r.stderr)
			}
		}
		must(t, slices.Concat(args, []string{"--max-inflated", "1MB", filepath.Join(dir, "small")})...)
		if r := collect(t, slices.Concat(args, []string{"--max-inflated", "0", dir})...); r.code != 2 {
			t.Errorf("%s with a limit of 0: exit %d, said %q", args[0], r.code, r.stderr)
		}
	}
}

// zipped returns b compressed with gzip.
func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	must1(w.Write(b))
	w.Close() // a buffer takes all
	return out.Bytes()
}
func TestNoReports(t *testing.T) {
	t.Parallel()
	if r := collect(t, "inspect", t.TempDir()); r.code != 1 || r.stderr != "collector: no reports found\n" {
		t.Errorf("exit %d, said %q", r.code, r.stderr)
	}
}
