package natsbus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/timeblob/timeblob/internal/servertest"
)

// TestDelivery checks that a subscriber gets what it and others publish to its subject until it unsubscribes.
func TestDelivery(t *testing.T) {
	t.Parallel()
	url, subjects, _ := servertest.MonitoredNATS(t)
	a, _ := open(t, url, Options{})
	b, said := open(t, url, Options{})
	one, endOne := subscribe(t, b, "a.b")
	two, endTwo := subscribe(t, b, "a.b")
	other, _ := subscribe(t, b, "a")
	servertest.Eventually(t, "three subscriptions", func() bool { return slices.Equal(subjects(), []string{"a", "a.b", "a.b"}) })
	servertest.Eventually(t, "a connection of who publishes", func() bool { return a.say(t, "elsewhere", "x") == nil })
	for _, from := range []*Bus{a, b} {
		if err := from.say(t, "a.b", "hello"); err != nil {
			t.Fatal(err)
		}
		if got := []string{<-one, <-two}; !slices.Equal(got, []string{"hello", "hello"}) {
			t.Errorf("came %q", got)
		}
	}
	endOne()
	endOne()
	servertest.Eventually(t, "one subscription less", func() bool { return slices.Equal(subjects(), []string{"a", "a.b"}) })
	if err := a.say(t, "a.b", "again"); err != nil || <-two != "again" {
		t.Errorf("%v", err)
	}
	endTwo()
	servertest.Eventually(t, "another less", func() bool { return slices.Equal(subjects(), []string{"a"}) })
	if len(one) != 0 || len(other) != 0 {
		t.Errorf("%d came after the end, %d on another subject", len(one), len(other))
	}
	if n := said.Lines("nats: connected"); n != 1 {
		t.Errorf("said %d times that it is connected: %s", n, said)
	}
}

// TestNoServer checks that a bus opens without a server, refuses messages at once, and subscribes when a
// server appears. It logs the absence once.
func TestNoServer(t *testing.T) {
	t.Parallel()
	url, p := servertest.NATS(t)
	p.Kill()
	b, said := open(t, url, Options{})
	came, _ := subscribe(t, b, "s")
	servertest.Eventually(t, "a line in the log", func() bool { return said.Lines("nats: cannot connect") > 0 })
	begun := time.Now()
	for range 100 {
		if err := b.say(t, "s", "x"); !errors.Is(err, ErrDisconnected) {
			t.Fatalf("published without a server: %v", err)
		}
	}
	if took := time.Since(begun); took > servertest.Patience/2 {
		t.Errorf("100 refusals took %v", took)
	}
	p.Restart()
	heard(t, b, "s", came)
	if said.Lines("nats: cannot connect") != 1 || said.Lines("connection refused") != 1 || said.Lines("nats: connected") != 1 {
		t.Errorf("said\n%s", said)
	}
}

// TestFaults checks that messages come in again by themselves after each fault of the server. Meanwhile
// Publish obeys its context.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, outage := range servertest.Outages() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := prometheus.NewRegistry()
			url, p := servertest.NATS(t)
			a, _ := open(t, url, Options{Registerer: reg, Ping: 200 * time.Millisecond})
			b, said := open(t, url, Options{Ping: 200 * time.Millisecond})
			came, unsubscribe := subscribe(t, b, "s")
			heard(t, a, "s", came)
			outage.Begin(p)
			failures := a.metrics.requests.WithLabelValues(methodPublish, "500")
			servertest.Eventually(t, "the loss in the log and a failure that is counted", func() bool {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer cancel()
				begun := time.Now()
				_ = a.Publish(ctx, "s", []byte("lost"))
				if took := time.Since(begun); took > 5*time.Second {
					t.Errorf("publishing took %v", took)
				}
				return said.Lines("nats: connection lost") > 0 && testutil.ToFloat64(failures) > 0
			})
			late, _ := subscribe(t, b, "late") // while there is no server
			unsubscribe()
			outage.End(p)
			heard(t, a, "late", late)
			servertest.Eventually(t, "the connection in the metrics", func() bool { return testutil.ToFloat64(a.metrics.connected) == 1 })
			for len(came) > 0 {
				<-came
			}
			servertest.Eventually(t, "a message to who has left", func() bool { return a.say(t, "s", "x") == nil })
			heard(t, a, "late", late)
			if len(came) != 0 {
				t.Error("who unsubscribed without a server is subscribed with one")
			}
		})
	}
}

// TestCloseReturns checks that Close ends soon, also when the server stopped, never answers, or does not
// exist.
func TestCloseReturns(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(t *testing.T) string{
		"well": func(t *testing.T) string { url, _ := servertest.NATS(t); return url },
		"gone": func(t *testing.T) string { url, p := servertest.NATS(t); p.Kill(); return url },
		"stopped from the start": func(t *testing.T) string {
			url, p := servertest.NATS(t)
			p.Stop()
			return url + "," + url
		},
		"unknown": func(*testing.T) string { return "nats://nowhere.invalid:4222" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _ := open(t, url(t), Options{})
			for range 10 {
				subscribe(t, b, "s")
			}
			time.Sleep(100 * time.Millisecond) // let the bus try to connect
			begun := time.Now()
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(begun); took > 3*500*time.Millisecond+5*time.Second {
				t.Errorf("it took %v", took)
			}
			if _, err := b.Subscribe("s", func([]byte) {}); !errors.Is(err, ErrClosed) {
				t.Errorf("subscribe after Close: %v", err)
			}
			if err := b.say(t, "s", "x"); !errors.Is(err, ErrClosed) {
				t.Errorf("publish after Close: %v", err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestGivenUp checks that an error that nats.go regards as final ends its connection, but not the bus.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	var connections, subscriptions atomic.Int64
	s := serve(t, func(line string, to net.Conn) bool {
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "CONNECT":
			connections.Add(1)
		case "PING":
			_, _ = to.Write([]byte("PONG\r\n"))
		case "SUB":
			if subscriptions.Add(1) == 1 {
				_, _ = to.Write([]byte("-ERR 'A Bad Day'\r\n"))
				return false
			}
			sid := rest[strings.LastIndexByte(rest, ' ')+1:]
			_, _ = to.Write([]byte("MSG s " + sid + " 5\r\nhello\r\n"))
		}
		return true
	})
	b, said := open(t, "nats://"+s.Addr().String(), Options{Ping: time.Minute})
	came, _ := subscribe(t, b, "s")
	if got := <-came; got != "hello" {
		t.Errorf("came %q", got)
	}
	if connections.Load() != 2 || said.Lines("the server ended the connection") != 1 || said.Lines("A Bad Day") != 1 {
		t.Errorf("%d connections, said\n%s", connections.Load(), said)
	}
}

// TestFlood checks that payloads beyond the limits are dropped and counted, and that the handler gets later
// payloads.
func TestFlood(t *testing.T) {
	t.Parallel()
	url, _ := servertest.NATS(t)
	a, _ := open(t, url, Options{})
	b, _ := open(t, url, Options{})
	proceed, came := make(chan struct{}), make(chan int, 1<<14)
	_, err := b.Subscribe("s", func(payload []byte) { came <- len(payload); <-proceed })
	if err != nil {
		t.Fatal(err)
	}
	servertest.Eventually(t, "the first message", func() bool { _ = a.say(t, "s", "x"); return len(came) > 0 })
	for range 4 * maxWaiting {
		if err := a.say(t, "s", "x"); err != nil {
			t.Fatal(err)
		}
	}
	dropped := func() float64 { return testutil.ToFloat64(b.metrics.requests.WithLabelValues(methodNext, "500")) }
	servertest.Eventually(t, "a drop counted", func() bool { return dropped() > 0 })
	close(proceed)
	if err := a.say(t, "s", strings.Repeat("x", 1<<20)); err != nil {
		t.Fatal(err)
	}
	servertest.Eventually(t, "a message after", func() bool {
		_ = a.say(t, "s", "last")
		for len(came) > 0 {
			switch <-came {
			case 4:
				return true
			case 1 << 20:
				t.Error("a message of 1 MiB was delivered")
			}
		}
		return false
	})
	if err := a.say(t, "s", strings.Repeat("x", 1<<20+1)); err == nil || errors.Is(err, ErrDisconnected) {
		t.Errorf("a message larger than the server takes: %v", err)
	}
}

// TestNoMessage checks that status messages, which anybody may publish, neither end a subscription nor reach
// a handler.
func TestNoMessage(t *testing.T) {
	t.Parallel()
	url, subjects, p := servertest.MonitoredNATS(t)
	b, _ := open(t, url, Options{})
	came, _ := subscribe(t, b, "s")
	heard(t, b, "s", came)
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	status := "NATS/1.0 503\r\n\r\n"
	said := "CONNECT {\"verbose\":false,\"headers\":true}\r\n" +
		strings.Repeat(fmt.Sprintf("HPUB s %d %d\r\n%s\r\n", len(status), len(status), status), 10) + "PUB s 4\r\nlast\r\n"
	if _, err := io.WriteString(conn, said); err != nil {
		t.Fatal(err)
	}
	for <-came != "last" {
	}
	if n := testutil.ToFloat64(b.metrics.requests.WithLabelValues(methodNext, "500")); n != 10 || !slices.Equal(subjects(), []string{"s"}) {
		t.Errorf("%v counted, subscribed to %q", n, subjects())
	}
}

// TestPublishCancelled checks that a message whose context has ended is not sent.
func TestPublishCancelled(t *testing.T) {
	t.Parallel()
	b, _ := open(t, "nats://127.0.0.1:1", Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Publish(ctx, "s", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	b.silence() // nobody reads messages
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	servertest.Eventually(t, "the end of its time", func() bool { return errors.Is(b.Publish(ctx, "s", nil), context.DeadlineExceeded) })
}

func TestSubjects(t *testing.T) {
	t.Parallel()
	b, _ := open(t, "nats://127.0.0.1:1", Options{})
	for subject, ok := range map[string]bool{
		"a": true, "a.b": true, "a-b_c": true, "tenant=": true, "$x": true,
		"": false, ".": false, "a.": false, ".a": false, "a..b": false, "*": false, ">": false, "a.*": false, "a.>": false,
		"a b": false, "a\tb": false, "a\r\nPUB x 0": false, "ä": false, "a\x00": false, "a\x7f": false,
	} {
		_, err := b.Subscribe(subject, func([]byte) {})
		again := b.say(t, subject, "x")
		for _, err := range []error{err, again} {
			e, refused := errors.AsType[*SubjectError](err)
			if refused == ok || refused && strings.ContainsAny(e.Error(), "\r\n") {
				t.Errorf("subject %q: %v", subject, err)
			}
		}
	}
}

// TestTwoInOneRegistry checks that buses that share a registry share metrics, and that a name in use by
// another metric is an error.
func TestTwoInOneRegistry(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	for range 2 {
		b, _ := open(t, "nats://127.0.0.1:1", Options{Registerer: reg, Namespace: "scope"})
		_ = b.say(t, "s", "x")
	}
	want := "# HELP scope_nats_requests_total What was asked of NATS, and messages that came (NextMsg); 500 is a failure, or messages dropped.\n" +
		"# TYPE scope_nats_requests_total counter\nscope_nats_requests_total{method=\"NextMsg\",status_code=\"200\"} 0\n" +
		"scope_nats_requests_total{method=\"Publish\",status_code=\"200\"} 0\nscope_nats_requests_total{method=\"Publish\",status_code=\"500\"} 2\n" +
		"scope_nats_requests_total{method=\"SubscribeSync\",status_code=\"200\"} 0\nscope_nats_requests_total{method=\"Unsubscribe\",status_code=\"200\"} 0\n"
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "scope_nats_requests_total"); err != nil {
		t.Error(err)
	}
	for _, taken := range []string{"nats_requests_total", "nats_connected"} {
		reg := prometheus.NewRegistry()
		reg.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Namespace: "timeblob", Name: taken, Help: "x"}))
		if _, err := Open("nats://127.0.0.1:1", &Options{Registerer: reg}); err == nil {
			t.Errorf("%s is taken: no error", taken)
		}
	}
}
