package natsbus

import (
	"bufio"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/internal/logtest"
	"github.com/timeblob/timeblob/internal/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open returns a bus with short delays, and its log. The bus closes when the test ends.
func open(t testing.TB, url string, opts Options) (*Bus, *logtest.Journal) {
	t.Helper()
	j := new(logtest.Journal)
	opts.Logger = j.Logger()
	fill(&opts.Timeout, 500*time.Millisecond)
	fill(&opts.ReconnectWait, 50*time.Millisecond)
	b, err := Open(url, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b, j
}

// say publishes with a generous deadline.
func (b *Bus) say(t testing.TB, subject, payload string) error {
	ctx, cancel := context.WithTimeout(t.Context(), servertest.Patience)
	defer cancel()
	return b.Publish(ctx, subject, []byte(payload))
}

// subscribe collects the payloads of a subject.
func subscribe(t testing.TB, b *Bus, subject string) (came <-chan string, unsubscribe func()) {
	t.Helper()
	c := make(chan string, 1<<10)
	unsubscribe, err := b.Subscribe(subject, func(payload []byte) { c <- string(payload) })
	if err != nil {
		t.Fatal(err)
	}
	return c, unsubscribe
}

// heard publishes on one bus until another bus receives it.
func heard(t testing.TB, from *Bus, subject string, came <-chan string) {
	t.Helper()
	servertest.Eventually(t, "a message on "+subject, func() bool {
		_ = from.say(t, subject, "ping")
		select {
		case <-came:
			return true
		case <-time.After(20 * time.Millisecond):
			return false
		}
	})
}

// server is a NATS server whose part the test plays.
type server struct {
	net.Listener
	serving sync.WaitGroup
}

// serve answers a client line by line until speak returns false.
func serve(t testing.TB, speak func(line string, to net.Conn) bool) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: listener}
	s.serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.serving.Go(func() { converse(conn, speak) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.serving.Wait()
	})
	return s
}

func converse(conn net.Conn, speak func(line string, to net.Conn) bool) {
	defer conn.Close()
	_, _ = conn.Write([]byte("INFO {\"server_id\":\"x\",\"max_payload\":1048576,\"headers\":true}\r\n"))
	for lines := bufio.NewReader(conn); ; {
		line, err := lines.ReadString('\n')
		if err != nil || !speak(strings.TrimSpace(line), conn) {
			return
		}
	}
}
