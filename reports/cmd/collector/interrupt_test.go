package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// silent is a reader that reports the first read and then blocks until it is closed.
type silent struct {
	read   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (s *silent) Read([]byte) (int, error) {
	s.once.Do(func() { close(s.read) })
	<-s.closed
	return 0, io.EOF
}

// TestOneInterruptEnds checks that one interrupt ends a command that waits for its input.
func TestOneInterruptEnds(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	mute := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(mute.Close)
	for name, args := range map[string][]string{
		"inspect -":      {"inspect", "-"},
		"merge -":        {"merge", "-"},
		"inspect a pipe": {"inspect", "PIPE"},
		"merge a pipe":   {"merge", "PIPE"},
		"import a pipe":  {"import", "--data", "DATA", "PIPE"},
		"push a pipe":    {"push", "--to", "127.0.0.1:1", "PIPE"},
		"query":          {"query", "--from", mute.URL, "--at", "now"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stdin := &silent{read: make(chan struct{}), closed: make(chan struct{})}
			defer close(stdin.closed)
			reads := stdin.read
			if name == "query" {
				reads = asked
			}
			pipe := filepath.Join(t.TempDir(), "1700000000000000000.json")
			for i, arg := range args {
				args[i] = strings.Replace(arg, "DATA", filepath.Join(t.TempDir(), "data"), 1)
				if arg == "PIPE" {
					mkfifo(t, pipe)
					args[i], reads = pipe, opened(t, pipe)
				}
			}
			ctx, interrupt := context.WithCancel(t.Context())
			go func() {
				<-reads
				interrupt()
			}()
			r := call{args: args, stdin: stdin}.run(ctx)
			if r.code != 1 || !strings.HasSuffix(r.stderr, "collector: interrupted\n") {
				t.Errorf("exit %d: %s", r.code, r.stderr)
			}
		})
	}
}

// opened waits until a named pipe is open for reading. It keeps the pipe open for writing until the test
// ends.
func opened(t *testing.T, path string) chan struct{} {
	t.Helper()
	done := make(chan struct{})
	var pipe *os.File
	go func() {
		defer close(done)
		pipe, _ = os.OpenFile(path, os.O_WRONLY, 0) // waits for a reader
	}()
	t.Cleanup(func() {
		<-done
		pipe.Close()
	})
	return done
}
