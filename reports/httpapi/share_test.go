package httpapi

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/memcache"
	"github.com/timeblob/timeblob/natsbus"
	"github.com/timeblob/timeblob/reports"
)

// service is a collector on NATS and memcached.
type service struct {
	*fixture
	bus *natsbus.Bus
}

// newService returns a service that lasts as long as the test.
func newService(t testing.TB, nats, memcached string) *service {
	t.Helper()
	return serviceWith(t, nats, memcached, natsbus.Options{})
}

// hasty are the options of services whose servers fail. A busy machine may
// make them lose a connection that is well.
var hasty = natsbus.Options{Timeout: 500 * time.Millisecond, ReconnectWait: 50 * time.Millisecond, Ping: 200 * time.Millisecond}

func serviceWith(t testing.TB, nats, memcached string, opts natsbus.Options) *service {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	opts.Logger = quiet
	bus, err := natsbus.Open(nats, &opts)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := memcache.Open(t.Context(), memcache.List(memcached), &memcache.Options{Logger: quiet, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s := &service{bus: bus, fixture: setup(t, func(o *reports.Options, h *Options) {
		shared(bus, cache)(o, h)
		o.Now = time.Now
	})}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), servertest.Patience)
		defer cancel()
		for _, err := range []error{s.Close(ctx), bus.Close(), cache.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

// shows reports whether a live answer about now holds so many containers.
func (s *service) shows(t testing.TB, tenant string, n int) bool {
	t.Helper()
	r, err := s.Report(t.Context(), tenant, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return containers(r) == n
}

// TestShortcutLatency posts shortcuts to one service and measures how long it
// takes until who waits at another is signalled, who then finds in the live
// answer what the shortcut says.
func TestShortcutLatency(t *testing.T) {
	t.Parallel()
	nats, subjects, _ := servertest.MonitoredNATS(t)
	memcached, _ := servertest.Memcached(t)
	a, b := newService(t, nats, memcached), newService(t, nats, memcached)
	waiter := b.waitOn(t, "acme.eu")
	servertest.Eventually(t, "a subscription", func() bool { return slices.Equal(subjects(), []string{"acme.eu"}) })
	took := make([]time.Duration, 200)
	for i := range took {
		body := encode(t, cut(fmt.Sprint("c", i)))
		begun := time.Now()
		a.post(t, body, orgHeader+": acme.eu")
		select {
		case <-waiter:
		case <-time.After(servertest.Patience):
			t.Fatalf("shortcut %d did not come: %d sent, %d heard", i, a.sent(t, "carried"), b.heard(t, "carried"))
		}
		took[i] = time.Since(begun)
		held := b.Shortcuts().Held("acme.eu")
		if len(held) == 0 || held[len(held)-1].Report.ID != fmt.Sprint("c", i) {
			t.Fatalf("shortcut %d signalled before it is shown", i)
		}
	}
	slices.Sort(took)
	median := took[len(took)/2]
	t.Logf("from the post at one service to the signal at another: median %v, 99 %% in %v, longest %v",
		median, took[len(took)*99/100], took[len(took)-1])
	if median >= 100*time.Millisecond {
		t.Errorf("the median is %v, want less than 100ms", median)
	}
	if !b.shows(t, "acme.eu", 64) {
		t.Error("they are not in the live answer")
	}
}

// TestAsScopeReads checks that what is in memcached, and said on NATS, is what
// Scope's services expect.
func TestAsScopeReads(t *testing.T) {
	t.Parallel()
	nats, _ := servertest.NATS(t)
	memcached, _ := servertest.Memcached(t)
	s := newService(t, nats, memcached)
	raw := dialNATS(t, nats)
	raw.say("SUB acme 1\r\nPING\r\n")
	raw.expect("PONG")
	begun := time.Now().UnixNano()
	servertest.Eventually(t, "one sent when the service is connected", func() bool {
		s.post(t, encode(t, cut("c1")), orgHeader+": acme")
		return s.sent(t, "carried") > 0
	})
	raw.expect("MSG acme 1 ")
	key := raw.line()
	at, err := index.ParseBlobKey(key)
	if err != nil || key != index.RowAt("acme", at).BlobKey(at) || at < begun || at > time.Now().UnixNano() {
		t.Errorf("key %q: %v", key, err)
	}
	flags, blob := getItem(t, memcached, key)
	zr, err := gzip.NewReader(bytes.NewReader(blob))
	if err != nil || flags != "0" {
		t.Fatalf("flags %s, no gzip: %v", flags, err)
	}
	plain, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\xa8Shortcut\xc3", "\xa9Container", "\xa2ID\xa2c1", "\xb0docker_env_TOKEN"} { // fixraws
		if !bytes.Contains(plain, []byte(want)) {
			t.Errorf("no %q in %q", want, plain)
		}
	}
	equal(t, decode(t, blob), upgraded(t, cut("c1")))
}

// TestAsScopeWrites checks that a shortcut that another program puts into memcached
// and publishes, as Scope's collectors do, signals and is shown.
func TestAsScopeWrites(t *testing.T) {
	t.Parallel()
	nats, subjects, _ := servertest.MonitoredNATS(t)
	memcached, _ := servertest.Memcached(t)
	s := newService(t, nats, memcached)
	waiter := s.waitOn(t, "acme")
	servertest.Eventually(t, "a subscription", func() bool { return slices.Equal(subjects(), []string{"acme"}) })
	now := time.Now().UnixNano()
	key := index.RowAt("acme", now).BlobKey(now)
	blob := encode(t, cut("c1"))
	store := dialCache(t, memcached)
	store.say(fmt.Sprintf("set %s 0 30 %d\r\n%s\r\n", key, len(blob), blob))
	store.expect("STORED")
	raw := dialNATS(t, nats)
	raw.say(fmt.Sprintf("PUB acme %d\r\n%s\r\n", len(key), key))
	select {
	case <-waiter:
	case <-time.After(servertest.Patience):
		t.Fatal("not signalled")
	}
	if !s.shows(t, "acme", 1) {
		t.Error("not shown")
	}
	s.add(t, "acme", hosts("h1"), "")
	if !s.shows(t, "acme", 0) {
		t.Error("not superseded by a report of the same host")
	}

	for _, payload := range []string{"", "hello", strings.Repeat("x", 1<<20), key[:32] + "/1",
		index.RowAt("other", now).BlobKey(now), index.RowAt("acme", 1).BlobKey(1)} {
		raw.say(fmt.Sprintf("PUB acme %d\r\n%s\r\n", len(payload), payload))
	}
	servertest.Eventually(t, "the messages counted", func() bool { return s.heard(t, "foreign") == 4 && s.heard(t, "absent") == 1 })
	key = index.RowAt("acme", now+1).BlobKey(now + 1)
	store.say(fmt.Sprintf("set %s 0 30 5\r\nhello\r\n", key))
	store.expect("STORED")
	raw.say(fmt.Sprintf("PUB acme %d\r\n%s\r\n", len(key), key))
	servertest.Eventually(t, "the blob that is none counted", func() bool { return s.heard(t, "refused") == 1 })
	if !s.shows(t, "acme", 0) {
		t.Error("nonsense is shown")
	}
}

// TestNATSFails checks that while the NATS server is gone or stopped, posts are
// answered as soon as before; and when it is back shortcuts reach others again,
// and only waiting clients are subscribed for.
func TestNATSFails(t *testing.T) {
	t.Parallel()
	for name, outage := range servertest.Outages() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nats, subjects, server := servertest.MonitoredNATS(t)
			memcached, _ := servertest.Memcached(t)
			a, b := serviceWith(t, nats, memcached, hasty), serviceWith(t, nats, memcached, hasty)
			waiter, other := b.waitOn(t, "acme"), make(chan struct{}, 1)
			if err := b.Shortcuts().WaitOn("other", other); err != nil {
				t.Fatal(err)
			}
			a.reaches(t, "acme", waiter)
			outage.Begin(server)
			begun := time.Now()
			body := encode(t, cut("lost"))
			for range 200 {
				a.post(t, body, orgHeader+": acme")
				a.post(t, encode(t, hosts("h2")), orgHeader+": acme")
			}
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("200 posts took %v", took)
			}
			servertest.Eventually(t, "a failure counted", func() bool { // when the loss is noticed
				a.post(t, body, orgHeader+": acme")
				return a.sent(t, "bus_failed")+a.sent(t, "dropped") > 0
			})
			b.Shortcuts().UnWait("other", other)
			late := b.waitOn(t, "late")
			outage.End(server)
			a.reaches(t, "late", late)
			a.reaches(t, "acme", waiter)
			servertest.Eventually(t, "subscriptions for those who wait", func() bool { return slices.Equal(subjects(), []string{"acme", "late"}) })
		})
	}
}

// reaches posts shortcuts of a tenant until a waiter elsewhere is signalled.
func (s *service) reaches(t *testing.T, tenant string, waiter <-chan struct{}) {
	t.Helper()
	for signalled(waiter) {
	}
	servertest.Eventually(t, "a shortcut that comes through", func() bool {
		s.post(t, encode(t, cut("c")), orgHeader+": "+tenant)
		select {
		case <-waiter:
			return true
		case <-time.After(20 * time.Millisecond):
			return false
		}
	})
}

// TestCacheFails checks that without memcached shortcuts signal still.
func TestCacheFails(t *testing.T) {
	t.Parallel()
	nats, _ := servertest.NATS(t)
	memcached, server := servertest.Memcached(t)
	a, b := newService(t, nats, memcached), newService(t, nats, memcached)
	waiter := b.waitOn(t, "acme")
	a.reaches(t, "acme", waiter)
	server.Stop()
	begun := time.Now()
	a.reaches(t, "acme", waiter)
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	servertest.Eventually(t, "the failure counted", func() bool { return a.sent(t, "cache_failed") > 0 && b.heard(t, "cache_failed") > 0 })
	server.Kill()
	a.reaches(t, "acme", waiter)
	server.Restart()
	servertest.Eventually(t, "one carried again", func() bool {
		before := b.heard(t, "carried")
		a.reaches(t, "acme", waiter)
		return b.heard(t, "carried") > before
	})
}

// TestNobodyLeft checks that the server has subscriptions for waiting clients only.
func TestNobodyLeft(t *testing.T) {
	t.Parallel()
	nats, subjects, _ := servertest.MonitoredNATS(t)
	memcached, _ := servertest.Memcached(t)
	s := newService(t, nats, memcached)
	waiters := make([]chan struct{}, 50)
	for i := range waiters {
		waiters[i] = make(chan struct{}, 1)
		for range 2 {
			if err := s.Shortcuts().WaitOn(fmt.Sprint("t", i%10), waiters[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	servertest.Eventually(t, "one subscription for each tenant", func() bool { return len(subjects()) == 10 })
	for i, c := range waiters {
		if i < 45 {
			s.Shortcuts().UnWait(fmt.Sprint("t", i%10), c)
		}
	}
	servertest.Eventually(t, "half of them", func() bool { return slices.Equal(subjects(), []string{"t5", "t6", "t7", "t8", "t9"}) })
	for i, c := range waiters {
		s.Shortcuts().UnWait(fmt.Sprint("t", i%10), c)
	}
	servertest.Eventually(t, "none", func() bool { return len(subjects()) == 0 })
}

// lineConn is a connection on which a test speaks a protocol itself.
type lineConn struct {
	t     *testing.T
	conn  net.Conn
	lines *bufio.Reader
}

func dialLines(t *testing.T, address string) *lineConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(2 * servertest.Patience))
	return &lineConn{t, conn, bufio.NewReader(conn)}
}

func dialNATS(t *testing.T, url string) *lineConn {
	t.Helper()
	w := dialLines(t, strings.TrimPrefix(url, "nats://"))
	w.say("CONNECT {\"verbose\":false}\r\n")
	return w
}

func dialCache(t *testing.T, address string) *lineConn { return dialLines(t, address) }

func (w *lineConn) say(text string) {
	w.t.Helper()
	if _, err := io.WriteString(w.conn, text); err != nil {
		w.t.Fatal(err)
	}
}

func (w *lineConn) line() string {
	w.t.Helper()
	line, err := w.lines.ReadString('\n')
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimRight(line, "\r\n")
}

// expect reads until a line begins with a text, and returns it.
func (w *lineConn) expect(start string) string {
	w.t.Helper()
	for {
		if line := w.line(); strings.HasPrefix(line, start) {
			return line
		}
	}
}

// getItem reads an item as memcached has it.
func getItem(t *testing.T, address, key string) (flags string, blob []byte) {
	t.Helper()
	w := dialCache(t, address)
	w.say("get " + key + "\r\n")
	var size int
	if _, err := fmt.Sscanf(w.line(), "VALUE "+key+" %s %d", &flags, &size); err != nil {
		t.Fatalf("no item %s: %v", key, err)
	}
	blob = make([]byte, size)
	if _, err := io.ReadFull(w.lines, blob); err != nil {
		t.Fatal(err)
	}
	return flags, blob
}
