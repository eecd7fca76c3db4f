package servertest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Memcached starts memcached with 64 MB, items of at most 1 MB and no UDP, and returns its host:port.
// Options are memcached's own and come last, so "-I", "8m" allows items of 8 MB.
func Memcached(t testing.TB, options ...string) (addr string, p *Process) {
	t.Helper()
	p = open(t, memcached(options))
	return p.Addr(), p
}

// NATS starts a NATS server without JetStream and returns its URL. Options are nats-server's own and
// come last.
func NATS(t testing.TB, options ...string) (url string, p *Process) {
	t.Helper()
	p = open(t, nats(options))
	return "nats://" + p.Addr(), p
}

func memcached(options []string) program {
	command := func(port int) ([]string, error) {
		path, err := installed("memcached")
		argv := []string{path, "-l", "127.0.0.1", "-p", strconv.Itoa(port), "-U", "0", "-m", "64"}
		if os.Geteuid() == 0 {
			argv = append(argv, "-u", "root") // it refuses to run as root unless told to
		}
		return append(argv, options...), err
	}
	return program{name: "memcached", command: command, answers: func(ctx context.Context, address string) error {
		return converse(ctx, address, "version\r\n", "VERSION ")
	}}
}

func nats(options []string) program {
	command := func(port int) ([]string, error) {
		path, err := installed("nats-server")
		return append([]string{path, "-a", "127.0.0.1", "-p", strconv.Itoa(port)}, options...), err
	}
	return program{name: "nats-server", command: command, answers: func(ctx context.Context, address string) error {
		return converse(ctx, address, "CONNECT {\"verbose\":false}\r\nPING\r\n", "PONG")
	}}
}

// converse says one thing to a server of a line protocol and reads until a line starts as wanted.
func converse(ctx context.Context, address, say, want string) error {
	conn, err := dial(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, say); err != nil {
		return err
	}
	for lines := bufio.NewReader(conn); ; {
		line, err := lines.ReadString('\n')
		if strings.HasPrefix(line, want) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("no %q from %s: %w", want, address, err)
		}
	}
}

// dial connects, and puts the context's deadline on all that follows.
func dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(probeWithin)
	}
	return conn, conn.SetDeadline(deadline)
}
