package main

import (
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// running is a collector in a process that the test controls with signals.
type running struct {
	cmd    *exec.Cmd
	url    string
	stderr *buffer
	ended  chan struct{} // closed when the process has ended
}

// runServe starts a collector with additional environment variables.
func runServe(t *testing.T, env []string, args ...string) *running {
	t.Helper()
	r := &running{cmd: child(append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...), stderr: &buffer{}, ended: make(chan struct{})}
	r.cmd.Env = append(r.cmd.Env, env...)
	r.cmd.Stderr = r.stderr
	stdout := must1(r.cmd.StdoutPipe())
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.url = announced(t, stdout, r.stderr)
	go func() {
		defer close(r.ended)
		_ = r.cmd.Wait() // the process state holds the result
	}()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // unless it has ended
		<-r.ended
	})
	return r
}

// signal sends SIGTERM.
func (r *running) signal() { _ = r.cmd.Process.Signal(syscall.SIGTERM) }

// end waits for the end of the process. It returns the exit code, or −1 after a kill, and the time it took.
func (r *running) end(t *testing.T) (code int, took time.Duration) {
	t.Helper()
	begun := time.Now()
	select {
	case <-r.ended:
	case <-time.After(2 * time.Minute):
		t.Fatalf("it does not end: %s", r.stderr)
	}
	return r.cmd.ProcessState.ExitCode(), time.Since(begun)
}

// says waits until the process has logged a text.
func (r *running) says(t *testing.T, text string) {
	t.Helper()
	eventually(t, func() bool { return strings.Contains(r.stderr.String(), text) }, "it does not say "+text)
}

// eventually waits for a condition in another process.
func eventually(t *testing.T, happened func() bool, otherwise string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !happened(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
	}
}

// fetch gets a page over a new connection. A status of 0 means that there was no
// answer.
func fetch(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req := must1(http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil))
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	return resp.StatusCode, string(must1(io.ReadAll(resp.Body)))
}

// until waits until a page has a status and begins with a text.
func until(t *testing.T, url string, status int, begins string) {
	t.Helper()
	var got int
	var body string
	eventually(t, func() bool {
		got, body = fetch(t, url)
		return got == status && strings.HasPrefix(body, begins)
	}, url+" is not as it should be")
	if t.Failed() {
		t.Logf("got %d %s", got, body)
	}
}
