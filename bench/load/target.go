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
	kill func() error // kills the collector that start started

	store *backend // that reach started
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
	store, err := openStore(opts.store, dir, stderr)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	program, err := build(ctx, dir, opts, stderr)
	if err != nil {
		return nil, errors.Join(err, store.end(), os.RemoveAll(dir))
	}
	if opts.outage > 0 { // the collector warns of it
		store.flags = append(store.flags, "--log-level", "error")
	}
	t, err := start(program, store.flags, opts, stderr)
	if err != nil {
		return nil, errors.Join(err, store.end(), os.RemoveAll(dir))
	}
	stop := t.stop
	t.store, t.stop = store, func() error { return errors.Join(stop(), store.end(), os.RemoveAll(dir)) }
	return t, nil
}

// build returns the program that the options name, or builds the collector.
func build(ctx context.Context, dir string, opts *options, stderr io.Writer) (program string, err error) {
	if opts.collector != "" {
		return opts.collector, nil
	}
	program = filepath.Join(dir, "collector")
	fmt.Fprintln(stderr, "load: building the collector")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, commandPackage).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, bytes.TrimSpace(out))
	}
	return program, nil
}

// start starts a collector with flags that name its store. It returns when the collector listens.
func start(program string, flags []string, opts *options, stderr io.Writer) (*target, error) {
	args := slices.Concat([]string{"serve", "--listen", "127.0.0.1:0", "--tenant-header", opts.header, "--log-level", "warn"},
		flags, opts.serve)
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
	return &target{url: url, pid: cmd.Process.Pid, stop: func() error { return end(cmd, said, opts.patience) },
		kill: func() error { return kill(cmd) }}, nil
}

// end stops the collector, which stores what it holds, and waits for its end.
func end(cmd *exec.Cmd, said *lastWords, patience time.Duration) error {
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

// kill kills the collector and waits for its end, which is an error unless it was killed.
func kill(cmd *exec.Cmd) error {
	if err := cmd.Process.Kill(); err != nil {
		return fmt.Errorf("the collector ended by itself: %w", errors.Join(err, cmd.Wait()))
	}
	_ = cmd.Wait() // says that it was killed
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
