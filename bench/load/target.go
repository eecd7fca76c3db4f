package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// target is the collector to drive.
type target struct {
	url  string
	pid  int          // of the collector that reach started, or 0
	stop func() error // ends what reach started; fails when the collector logged errors
}

// commandPackage is built unless the options name a program.
const commandPackage = "github.com/timeblob/timeblob/reports/cmd/collector"

// reach returns the collector that the options name, or starts one.
func reach(ctx context.Context, opts *options, stderr io.Writer) (*target, error) {
	if opts.url != "" {
		url := strings.TrimSuffix(opts.url, "/")
		if !strings.Contains(url, "://") {
			url = "http://" + url
		}
		return &target{url: url, stop: func() error { return nil }}, nil
	}
	dir, err := os.MkdirTemp("", "load")
	if err != nil {
		return nil, err
	}
	flags, endStore, err := openStore(opts.store, dir, stderr)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	t, err := start(ctx, dir, flags, opts, stderr)
	if err != nil {
		return nil, errors.Join(err, endStore(), os.RemoveAll(dir))
	}
	stop := t.stop
	t.stop = func() error { return errors.Join(stop(), endStore(), os.RemoveAll(dir)) }
	return t, nil
}

// start starts a collector on the store that the flags in store name. It returns when the collector listens.
func start(ctx context.Context, dir string, store []string, opts *options, stderr io.Writer) (*target, error) {
	program := opts.collector
	if program == "" {
		program = filepath.Join(dir, "collector")
		fmt.Fprintln(stderr, "load: building the collector")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, commandPackage).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go build: %w: %s", err, bytes.TrimSpace(out))
		}
	}
	args := slices.Concat([]string{"serve", "--listen", "127.0.0.1:0", "--tenant-header", opts.header, "--log-level", "warn"},
		store, opts.serve)
	cmd := exec.Command(program, args...)
	said := &lastWords{}
	cmd.Stderr = said
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		// Its last words are complete only after Wait.
		ended := errors.Join(cmd.Process.Kill(), cmd.Wait())
		return nil, errors.Join(fmt.Errorf("the collector did not start: %s", said), ended)
	}
	fmt.Fprintf(stderr, "load: the collector is process %d at %s\n", cmd.Process.Pid, url)
	return &target{url: url, pid: cmd.Process.Pid, stop: func() error { return end(cmd, said) }}, nil
}

// patience is how long a collector may take to store what it holds.
const patience = time.Minute

// end stops the collector, which stores what it holds, and waits for its end.
func end(cmd *exec.Cmd, said *lastWords) error {
	_ = cmd.Process.Signal(syscall.SIGTERM) // when the process has ended, Wait reports it
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("the collector ended badly: %w: %s", err, said)
	}
	if text := said.String(); text != "" {
		return fmt.Errorf("the collector said: %s", text)
	}
	return nil
}

// lastWords keeps the end of what is written to it.
type lastWords struct {
	mu   sync.Mutex
	text []byte // guarded by mu
}

const maxWords = 4 << 10

func (l *lastWords) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if over := len(l.text) - maxWords; over > 0 {
		l.text = append(l.text[:0], l.text[over:]...)
	}
	return len(p), nil
}

func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(string(l.text))
}
