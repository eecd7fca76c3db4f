package servertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Waits are generous, because the machine may be compiling on every core; nothing waits that long
// when all is well.
const (
	readyWithin = 2 * time.Minute // a JVM on a busy machine; the usual is 1 s, and 50 ms for the rest
	probeWithin = 2 * time.Second // one attempt at an answer
	pollEvery   = 10 * time.Millisecond
)

// program describes how to run one kind of server.
type program struct {
	name    string
	command func(port int) ([]string, error)                // the command line; an error when it is not installed
	answers func(ctx context.Context, address string) error // nil once the server speaks its protocol
}

// Process is a running server of a test. Its methods fail the test when they cannot do what they
// promise, and may be called from any goroutine of the test, one at a time for one Process.
type Process struct {
	t    testing.TB // nil for a shared server, whose process no test is handed
	what program
	port int
	hold reservation

	mu  sync.Mutex
	run *run // the last one started
}

// newProcess starts a server and returns when it answers.
func newProcess(what program) (*Process, error) {
	port, hold, err := reserve()
	if err != nil {
		return nil, err
	}
	p := &Process{what: what, port: port, hold: hold}
	if err := p.start(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// open is newProcess for one test, ended with it.
func open(t testing.TB, what program) *Process {
	t.Helper()
	if _, err := what.command(0); err != nil {
		unavailable(t, err)
	}
	p, err := newProcess(what)
	if err != nil {
		t.Fatal(err)
	}
	p.t = t
	t.Cleanup(func() {
		p.Kill()
		p.report(t)
		p.check("forget", p.close())
	})
	return p
}

// Addr is the host:port that the server listens on, the same for the whole test.
func (p *Process) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

// PID returns the id of the last process started.
func (p *Process) PID() int { return p.current().process.Pid }

// Stop freezes the server: when it returns, connections are still accepted by the kernel, and nothing
// answers on them.
func (p *Process) Stop() {
	p.t.Helper()
	p.check("stop", p.current().freeze())
}

// Cont lets a stopped server go on where it was.
func (p *Process) Cont() {
	p.t.Helper()
	p.check("continue", resume(p.current().process))
}

// Kill ends the server at once, stopped or not: when it returns, connections are refused. Killing a
// dead server does nothing.
func (p *Process) Kill() {
	p.t.Helper()
	p.check("kill", p.kill())
}

// Restart kills the server if it runs, starts it again at the same address, and returns when it
// answers. Servers that keep their data in memory come back empty; versitygw keeps its directory.
func (p *Process) Restart() {
	p.t.Helper()
	p.check("restart", errors.Join(p.kill(), p.start()))
}

// check marks the test as failed and lets it go on, because goroutines of a test may not end it.
func (p *Process) check(verb string, err error) {
	if err != nil {
		p.t.Helper()
		p.t.Errorf("%s %s: %v", verb, p.what.name, err)
	}
}

func (p *Process) current() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

func (p *Process) kill() error {
	if r := p.current(); r != nil {
		return r.kill()
	}
	return nil
}

// start runs the command and waits for the first answer.
func (p *Process) start() error {
	argv, err := p.what.command(p.port)
	if err != nil {
		return err
	}
	r, err := launch(argv)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.what.name, err)
	}
	p.become(r)
	if err := p.await(r); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w; it said:\n%s", p.what.name, err, r.said()), r.kill())
	}
	return nil
}

// become makes r the last run, and lets go of what the one before it said.
func (p *Process) become(r *run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil {
		_ = p.run.output.Close()
	}
	p.run = r
}

// await polls until the server answers; its death or readyWithin ends the wait.
func (p *Process) await(r *run) error {
	deadline := time.Now().Add(readyWithin)
	for {
		err := p.probe(r)
		if r.dead() {
			return errors.New("it ended before it answered")
		}
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no answer within %v: %w", readyWithin, err)
		}
		select {
		case <-r.ended:
		case <-time.After(pollEvery):
		}
	}
}

func (p *Process) probe(r *run) error {
	ctx, cancel := context.WithTimeout(context.Background(), probeWithin)
	defer cancel()
	return p.what.answers(ctx, p.Addr())
}

// close kills the server, gives the port back and lets go of what the server said.
func (p *Process) close() error {
	err := errors.Join(p.kill(), p.hold.Close())
	if r := p.current(); r != nil {
		err = errors.Join(err, r.output.Close())
	}
	return err
}

// report shows a failed test the end of what the server said since it was last started.
func (p *Process) report(t testing.TB) {
	if r := p.current(); r != nil && t.Failed() {
		t.Logf("%s at %s said:\n%s", p.what.name, p.Addr(), r.said())
	}
}
