// Package browsertest lets a test look at pages with a real Chromium: with scripts of the pages off, at
// any size, in light and in dark.
//
// The browser is Debian's, as scripts/install-servers installs it. Where it is missing the test is
// skipped, or fails when TIMEBLOB_REQUIRE_SERVERS is 1. It is spoken to in the Chrome DevTools Protocol
// (chromedevtools.github.io/devtools-protocol) over a pipe, so that it opens no port and ends with the
// test binary, however that ends.
package browsertest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/timeblob/timeblob/internal/servertest"
)

// Waits are generous, because the machine may be compiling on every core.
const (
	answerWithin = time.Minute
	endWithin    = 10 * time.Second
)

// Browser is a running Chromium, ended with its test. Its methods fail the test when they cannot do
// what they promise.
type Browser struct {
	t    testing.TB
	cmd  *exec.Cmd
	to   *os.File
	from *os.File
	gone chan struct{} // closed when nothing more comes from the browser

	mu       sync.Mutex // guards what follows, and writing
	calls    int
	waiting  map[int]chan message
	sessions map[string]*Page
}

// message is one of the protocol: a call, its result, or an event.
type message struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// Start starts Chromium with a new, empty profile. It reaches no host but this one.
func Start(t testing.TB) *Browser {
	t.Helper()
	b := &Browser{t: t, gone: make(chan struct{}), waiting: make(map[int]chan message), sessions: make(map[string]*Page)}
	profile, err := os.MkdirTemp("", "timeblob-browser-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(profile) }) // a helper of the browser may outlive it by a moment
	b.cmd = exec.Command(servertest.Program(t, "chromium"), arguments(profile)...)
	if err := b.launch(); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	t.Cleanup(b.end)
	return b
}

func arguments(profile string) []string {
	args := []string{"--headless", "--remote-debugging-pipe", "--user-data-dir=" + filepath.Join(profile, "profile"),
		"--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-quic", "--disable-crash-reporter", "--no-proxy-server",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "about:blank"}
	if os.Geteuid() == 0 {
		args = append([]string{"--no-sandbox"}, args...) // it refuses to run as root otherwise
	}
	return args
}

// launch starts the process, which reads its file 3 and writes its file 4.
func (b *Browser) launch() error {
	theirs, to, err := os.Pipe()
	if err != nil {
		return err
	}
	defer theirs.Close()
	from, answers, err := os.Pipe()
	if err != nil {
		return errors.Join(err, to.Close())
	}
	defer answers.Close()
	b.cmd.ExtraFiles = []*os.File{theirs, answers}
	if err := b.cmd.Start(); err != nil {
		return errors.Join(err, to.Close(), from.Close())
	}
	b.to, b.from = to, from
	go b.listen()
	return nil
}

// end asks the browser to end, and sees that it does.
func (b *Browser) end() {
	_ = b.send(message{Method: "Browser.close"})
	kill := time.AfterFunc(endWithin, func() { _ = b.cmd.Process.Kill() })
	_ = b.cmd.Wait() // how it ended is no news
	kill.Stop()
	_ = b.to.Close()
	_ = b.from.Close()
	<-b.gone
}

// listen hands out what the browser says until it says no more.
func (b *Browser) listen() {
	defer close(b.gone)
	for lines := bufio.NewReader(b.from); ; {
		text, err := lines.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if err := json.Unmarshal(text[:len(text)-1], &m); err != nil {
			b.t.Errorf("chromium said %.200q: %v", text, err)
			return
		}
		b.hand(m)
	}
}

func (b *Browser) hand(m message) {
	b.mu.Lock()
	answer, page := b.waiting[m.ID], b.sessions[m.SessionID]
	delete(b.waiting, m.ID)
	b.mu.Unlock()
	switch {
	case m.ID != 0 && answer != nil:
		answer <- m
	case m.ID == 0 && page != nil:
		page.hear(m)
	}
}

// send sends a call, of which nobody awaits the answer unless it has an ID.
func (b *Browser) send(m message) error {
	if m.ID == 0 {
		m.ID = -1
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err = b.to.Write(append(text, 0))
	return err
}

// call calls a method, in a session or in none, and reads its result into result unless that is nil.
func (b *Browser) call(session, method string, params, result any) {
	b.t.Helper()
	if err := b.ask(session, method, params, result); err != nil {
		b.t.Fatalf("chromium: %s: %v", method, err)
	}
}

func (b *Browser) ask(session, method string, params, result any) error {
	text, err := json.Marshal(params)
	if err != nil {
		return err
	}
	answer := make(chan message, 1)
	b.mu.Lock()
	b.calls++
	m := message{ID: b.calls, SessionID: session, Method: method, Params: text}
	b.waiting[m.ID] = answer
	b.mu.Unlock()
	if err := b.send(m); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	select {
	case m = <-answer:
	case <-b.gone:
		return io.ErrUnexpectedEOF
	case <-ctx.Done():
		return fmt.Errorf("no answer within %v", answerWithin)
	}
	switch {
	case m.Error != nil:
		return errors.New(m.Error.Message)
	case result == nil:
		return nil
	}
	return json.Unmarshal(m.Result, result)
}
