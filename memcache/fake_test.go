package memcache_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/timeblob/timeblob/memcache"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

// fake is an in-process memcached whose faults a test controls. The zero value has no faults. Its connections
// are pipes, so that it works in a synctest bubble.
type fake struct {
	serving sync.WaitGroup // counts the connections

	mu       sync.Mutex
	items    map[string]string
	commands []string // without the data
	dials    int
	open     int // connections that the client has not closed
	busy     int // commands that are being answered
	mostBusy int

	orders
}

// orders are the faults of a server.
type orders struct {
	down    bool          // connections are refused, and open ones are closed before an answer
	hang    bool          // nothing is answered
	delay   time.Duration // before each answer
	drip    time.Duration // before each item of an answer
	cut     int           // connections close after this many items of an answer; 0 means never
	lost    int           // this many connections hang, then none
	refusal string        // the answer to every command
}

// set changes the faults between two commands.
func (f *fake) set(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fake) seen() (commands []string, dials, mostBusy int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append(commands, f.commands...), f.dials, f.mostBusy
}

// dial has the signature of memcache.Options.Dial.
func (f *fake) dial(ctx context.Context, _, address string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dials++
	if f.down {
		return nil, fmt.Errorf("dial %s: connection refused", address)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	number := f.dials
	f.serving.Go(func() { f.serve(theirs, number) })
	f.open++
	return &counted{Conn: ours, closed: sync.OnceFunc(func() { f.set(func(f *fake) { f.open-- }) })}, nil
}

// counted is a connection that counts its first close.
type counted struct {
	net.Conn
	closed func()
}

func (c *counted) Close() error {
	c.closed()
	return c.Conn.Close()
}

// serve answers the commands of one connection, number counted from the start of the test, until it is
// closed.
func (f *fake) serve(conn net.Conn, number int) {
	defer conn.Close()
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.Fields(line)
		var data string
		if words[0] == "set" {
			data = readData(lines, words[4])
		}
		how := f.begin(strings.TrimSpace(line))
		how.hang = how.hang || number <= how.lost
		time.Sleep(how.delay)
		ok := !how.down && !how.hang && f.answer(conn, how, words, data)
		f.end()
		if how.hang {
			_, _ = io.Copy(io.Discard, lines) // until the client closes
		}
		if !ok {
			return
		}
	}
}

func readData(r io.Reader, length string) string {
	var n int
	fmt.Sscan(length, &n)
	data := make([]byte, n+len("\r\n"))
	_, _ = io.ReadFull(r, data)
	return string(data[:n])
}

// begin records a command and returns the faults for it.
func (f *fake) begin(command string) orders {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commands = append(f.commands, command)
	f.busy++
	f.mostBusy = max(f.mostBusy, f.busy)
	return f.orders
}

func (f *fake) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy--
}

// answer reports whether the connection stays open.
func (f *fake) answer(w io.Writer, how orders, words []string, data string) bool {
	if how.refusal != "" {
		_, err := fmt.Fprintf(w, "%s\r\n", how.refusal)
		return err == nil
	}
	if words[0] == "set" {
		f.set(func(f *fake) {
			if f.items == nil {
				f.items = make(map[string]string)
			}
			f.items[words[1]] = data
		})
		_, err := io.WriteString(w, "STORED\r\n")
		return err == nil
	}
	return f.get(w, how, words[1:])
}

func (f *fake) get(w io.Writer, how orders, keys []string) bool {
	for n, key := range keys {
		if how.cut > 0 && n == how.cut {
			return false
		}
		f.mu.Lock()
		value, ok := f.items[key]
		f.mu.Unlock()
		if !ok {
			continue
		}
		time.Sleep(how.drip)
		if _, err := fmt.Fprintf(w, "VALUE %s 0 %d 1\r\n%s\r\n", key, len(value), value); err != nil {
			return false
		}
	}
	_, err := io.WriteString(w, "END\r\n")
	return err == nil
}

// farm is a group of fakes by address.
type farm map[string]*fake

func newFarm(addresses ...string) farm {
	f := make(farm, len(addresses))
	for _, address := range addresses {
		f[address] = new(fake)
	}
	return f
}

func (f farm) dial(ctx context.Context, network, address string) (net.Conn, error) {
	server, ok := f[address]
	if !ok {
		return nil, fmt.Errorf("dial %s %s: no such server", network, address)
	}
	return server.dial(ctx, network, address)
}

// address is the address of a single fake.
const address = "192.0.2.1:11211"

// openFake returns a tier on one fake. Both end with the test.
func openFake(t testing.TB, f *fake, opts memcache.Options) *memcache.Tier {
	t.Helper()
	opts.Dial = f.dial
	t.Cleanup(f.serving.Wait)
	return open(t, memcache.List(address), opts)
}

// open returns a tier that is closed when the test ends.
func open(t testing.TB, servers memcache.Servers, opts memcache.Options) *memcache.Tier {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = testLogger(t)
	}
	tier, err := memcache.Open(t.Context(), servers, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tier.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return tier
}

func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// put stores blobs that contain their keys.
func put(t testing.TB, tier *memcache.Tier, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if err := tier.Put(t.Context(), key, []byte("blob of "+key)); err != nil {
			t.Fatalf("Put(%q): %v", key, err)
		}
	}
}

// found fails the test unless the tier finds all keys with the blobs that put stored.
func found(t testing.TB, tier *memcache.Tier, keys ...string) {
	t.Helper()
	blobs, err := tiertest.Found(t.Context(), tier, keys)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	if len(blobs) != len(keys) {
		t.Fatalf("Get found %d of %d keys", len(blobs), len(keys))
	}
	right(t, blobs)
}

// right fails the test when a blob differs from the one that put stored.
func right(t testing.TB, blobs map[string][]byte) {
	t.Helper()
	for key, blob := range blobs {
		if string(blob) != "blob of "+key {
			t.Errorf("Get(%q) found %q", key, blob)
		}
	}
}

// numbered returns n keys.
func numbered(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("%032x/%d", i, i)
	}
	return keys
}

// listen returns a fake that listens on a network address.
func listen(t testing.TB, network, address string) *fake {
	t.Helper()
	f := new(fake)
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.serving.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	f.serving.Go(func() { f.accept(listener) })
	return f
}

// accept serves a listener's connections until it is closed.
func (f *fake) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		f.serving.Go(func() { f.serve(conn, 1) })
	}
}
