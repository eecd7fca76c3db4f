package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/remote"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
)

// newStore makes an empty store and returns the flags that name it for serve, import and query.
type newStore func(t *testing.T) []string

func embedded(t *testing.T) []string { return []string{"--data", filepath.Join(t.TempDir(), "data")} }

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	checkStore(t, embedded)
}

// checkStore checks that what goes into a store comes out of it. Every kind of store must pass.
func checkStore(t *testing.T, open newStore) {
	t.Run("imported windows", func(t *testing.T) {
		t.Parallel()
		checkImport(t, open(t))
	})
	t.Run("in one process", func(t *testing.T) {
		t.Parallel()
		checkServe(t, open(t), serveWithin)
	})
	t.Run("as a process", func(t *testing.T) {
		t.Parallel()
		checkServe(t, open(t), serveAsProcess)
	})
}

func checkImport(t *testing.T, store []string) {
	hosts := goldentest.Path("hosts")
	must(t, append([]string{"import", hosts}, store...)...)
	checkWindows(t, store...)
	again := must(t, append([]string{"import", hosts}, store...)...)
	if !strings.HasPrefix(again, "imported 60 reports: 0 stored") {
		t.Errorf("said %q", again)
	}
	checkWindows(t, store...)
}

// checkServe pushes the captured reports to a collector and queries it, and then queries its store after it
// ended.
func checkServe(t *testing.T, store []string, start func(t *testing.T, args ...string) *served) {
	want := goldentest.Inflate(t, goldentest.Path("golden", "hosts", "merged.json.gz"))
	ignore := func(path []string) bool { return anyID(path) || unlikeScope(path) }
	since := time.Now().Add(-time.Second).UTC().Format(time.RFC3339Nano)
	all := []string{"query", "--json", "--tenant", "t", "--start", since, "--end", "+1h"}

	s := start(t, append([]string{"--window", "10m", "--tick", "200ms", "--tenant-header", remote.TenantHeader}, store...)...)
	said := must(t, "push", "--to", s.url, "--tenant", "t", goldentest.Path("hosts"))
	if !strings.HasPrefix(said, "pushed 60 reports, ") {
		t.Errorf("said %q", said)
	}
	live := must(t, "query", "--json", "--from", s.url, "--tenant", "t", "--at", "now")
	goldentest.Equal(t, []byte(live), want, ignore)
	goldentest.Equal(t, []byte(must(t, append(all, "--from", s.url)...)), want, ignore)
	if r := collect(t, "query", "--from", s.url, "--at", "now"); r.code != 1 || !strings.Contains(r.stderr, "401") {
		t.Errorf("no tenant: exit %d: %s", r.code, r.stderr)
	}
	must(t, "push", "--to", s.url, "--tenant", "late", goldentest.Files(t, "k8s-node/*")[0])
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d: %s", code, s.said())
	}
	goldentest.Equal(t, []byte(must(t, append(all, store...)...)), want, ignore)
	late := must(t, append([]string{"query", "--json", "--tenant", "late", "--start", since, "--end", "+1h"}, store...)...)
	goldentest.Equal(t, []byte(late), []byte(must(t, "inspect", "--upgrade", "--json", goldentest.Files(t, "k8s-node/*")[0])), anyID)
}

// served is a running collector.
type served struct {
	url  string
	pid  int               // 0 within the test
	stop func() (code int) // as after a signal
	kill func()            // at once; for a process only
	said func() string     // the standard error so far
}

// buffer is a buffer that is safe for concurrent use.
type buffer struct {
	mu sync.Mutex
	b  strings.Builder // guarded by mu
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// announced reads the line in which a collector prints its URL.
func announced(t *testing.T, stdout io.Reader, stderr *buffer) string {
	t.Helper()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("serve said %q, %v: %s", line, err, stderr)
	}
	return url
}

// serveWithin runs a collector inside the test's process.
func serveWithin(t *testing.T, args ...string) *served {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stdout, w := io.Pipe()
	stderr := &buffer{}
	code := make(chan int, 1)
	go func() {
		args := append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)
		code <- collector.Run(ctx, args, strings.NewReader(""), w, stderr, func(string) (string, bool) { return "", false })
		w.Close()
	}()
	stop := sync.OnceValue(func() int { cancel(); return <-code })
	t.Cleanup(func() { stop() })
	return &served{url: announced(t, stdout, stderr), stop: stop, said: stderr.String}
}

// child prepares the command as a separate process.
func child(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	return cmd
}

// serveAsProcess runs a collector as a process. Stopping it sends a signal.
func serveAsProcess(t *testing.T, args ...string) *served {
	t.Helper()
	return launch(t, child(append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...))
}

// launch starts a collector. Stopping it sends a signal.
func launch(t *testing.T, cmd *exec.Cmd) *served {
	t.Helper()
	stderr := &buffer{}
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceValue(func() int {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		return cmd.ProcessState.ExitCode()
	})
	t.Cleanup(func() { stop() })
	kill := func() { cmd.Process.Kill(); stop() }
	return &served{url: announced(t, stdout, stderr), pid: cmd.Process.Pid, stop: stop, kill: kill, said: stderr.String}
}

func TestServeFailsPlainly(t *testing.T) {
	t.Parallel()
	s := serveWithin(t, embedded(t)...)
	file := write(t, filepath.Join(t.TempDir(), "1.json"), sample("one", 1))
	for want, c := range map[string]struct {
		code int
		args []string
	}{
		"address already in use":  {1, []string{"--listen", strings.TrimPrefix(s.url, "http://")}},
		"not a directory":         {1, []string{"--data", file}},
		"shorter than a tick":     {2, []string{"--window", "1s"}},
		"--data must not be empt": {2, []string{"--data", ""}},
		"is not a header name":    {2, []string{"--tenant-header", "a b"}},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"serve", "--log-level", "error", "--listen", "127.0.0.1:0"}, embedded(t)...)
			r := collect(t, append(args, c.args...)...)
			if r.code != c.code || !strings.Contains(r.stderr, want) || strings.Count(r.stderr, "\n") != 1 || r.stdout != "" {
				t.Errorf("exit %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
			}
		})
	}
}

func TestServeWithoutTenants(t *testing.T) {
	t.Parallel()
	store := embedded(t)
	s := serveWithin(t, append(store, "--log-format", "json")...)
	path := goldentest.Files(t, "hosts/*/*")[0]
	must(t, "push", "--to", s.url, path)
	for _, page := range []string{"/metrics", "/api", "/api/probes", "/admin/", "/admin/summary", "/"} {
		resp, err := http.Get(s.url + page)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || len(body) == 0 {
			t.Errorf("%s: %s, %d bytes, %v", page, resp.Status, len(body), err)
		}
		if want := "scope_reports_received_total"; page == "/metrics" && !strings.Contains(string(body), want) {
			t.Errorf("no %s among the metrics", want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if code := s.stop(); code != 0 || !strings.Contains(s.said(), `"level":"INFO"`) || !strings.Contains(s.said(), `"msg":"stopped","values_stored":1}`) {
		t.Errorf("exit %d: %s", code, s.said())
	}
	got := must(t, append([]string{"query", "--json", "--start", "-1h", "--end", "+1h"}, store...)...)
	goldentest.Equal(t, []byte(got), []byte(must(t, "inspect", "--json", "--upgrade", path)), anyID)
}

// An interrupted import can be repeated.
func TestImportKilled(t *testing.T) {
	t.Parallel()
	const files = 500
	dir, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	for i := range files {
		write(t, filepath.Join(dir, fmt.Sprintf("%d.msgpack.gz", 1_700_000_000_000_000_000+int64(i))), sample(fmt.Sprint("host-", i), 5))
	}
	for range 2 {
		killImport(t, data, dir)
	}
	said := must(t, "import", "--data", data, dir)
	var stored int
	if _, err := fmt.Sscanf(said, "imported 500 reports: %d stored", &stored); err != nil {
		t.Fatalf("said %q: %v", said, err)
	}
	if stored == 0 || stored == files {
		t.Errorf("%d stored at last: nothing was interrupted", stored)
	}
	got := must(t, "query", "--json", "--data", data, "--start", "1600000000", "--end", "now")
	goldentest.Equal(t, []byte(got), []byte(must(t, "merge", "--json", dir)), anyID)
}

// killImport kills an import that has stored a fifth of the files. Pipes without a writer keep the import
// from finishing: opening the first shows how far it is, and the others block the other workers.
func killImport(t *testing.T, data, dir string) {
	t.Helper()
	pipes := t.TempDir()
	args := []string{"import", "--data", data, "--parallel", "4", dir}
	for _, i := range []int64{100, 400, 401, 402} {
		args = append(args, filepath.Join(pipes, fmt.Sprintf("%d.json", 1_700_000_000_000_000_000+i)))
		mkfifo(t, args[len(args)-1])
	}
	reached := make(chan *os.File, 1)
	go func() {
		pipe, _ := os.OpenFile(args[6], os.O_WRONLY, 0) // waits for the import to open it
		reached <- pipe
	}()
	cmd := child(args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case pipe := <-reached:
		defer pipe.Close()
	case err := <-ended:
		t.Fatalf("import ended before it was killed: %v", err)
	}
	cmd.Process.Kill()
	if err := <-ended; err == nil {
		t.Fatal("import was done before it was killed")
	}
}

func TestClosedOutput(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := child("inspect", "--json", goldentest.Path("hosts"))
	stderr := &buffer{}
	cmd.Stdout, cmd.Stderr = w, stderr
	r.Close()
	err = cmd.Run()
	w.Close()
	if err == nil || stderr.String() != "" {
		t.Errorf("%v, said %q", err, stderr)
	}
}
