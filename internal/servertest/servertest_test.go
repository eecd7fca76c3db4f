package servertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asOrphan makes this test binary start a server, print its process id and exit without a goodbye.
const asOrphan = "TIMEBLOB_SERVERTEST_ORPHAN"

func TestMain(m *testing.M) {
	if os.Getenv(asOrphan) == "1" {
		os.Exit(orphan())
	}
	goleak.VerifyTestMain(Main(m))
}

func orphan() int {
	p, err := newProcess(memcached(nil))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(p.PID())
	return 0
}

// servers are all that this package can start, each with a way to write a value and read it back.
var servers = []struct {
	name  string
	open  func(testing.TB) *Process
	write func(ctx context.Context, addr string) error
	read  func(ctx context.Context, addr string) error // nil when it reads what write wrote
	keeps bool                                         // whether Restart keeps the value
}{
	{
		name: "memcached",
		open: func(t testing.TB) *Process { _, p := Memcached(t); return p },
		write: func(ctx context.Context, addr string) error {
			return converse(ctx, addr, "set k 0 0 1\r\nv\r\n", "STORED")
		},
		read: func(ctx context.Context, addr string) error { return converse(ctx, addr, "get k\r\nquit\r\n", "v") },
	},
	{
		name:  "nats",
		open:  func(t testing.TB) *Process { _, p := NATS(t); return p },
		write: func(context.Context, string) error { return nil }, // it keeps nothing to read back
		read: func(ctx context.Context, addr string) error {
			return converse(ctx, addr, "CONNECT {\"verbose\":false}\r\nSUB s 1\r\nPUB s 2\r\nhi\r\n", "hi")
		},
		keeps: true,
	},
	{
		name:  "dynamodb-local",
		open:  func(t testing.TB) *Process { _, p := DynamoDBLocal(t); return p },
		write: putItem,
		read:  getItem,
	},
	{
		name:  "dynalite",
		open:  func(t testing.TB) *Process { _, p := Dynalite(t); return p },
		write: putItem,
		read:  getItem,
	},
	{
		name:  "versitygw",
		open:  func(t testing.TB) *Process { _, p := VersityGW(t); return p },
		write: putObject,
		read:  getObject,
		keeps: true,
	},
	{
		name:  "prometheus",
		open:  func(t testing.TB) *Process { _, p := Prometheus(t); return p },
		write: func(context.Context, string) error { return nil }, // it writes what it scrapes, by itself
		read:  isReady,
		keeps: true,
	},
}

// TestFaults takes each server through all that a fault test does to it.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			p := server.open(t)
			address := p.Addr()
			works(t, "started", address, server.write, server.read)
			p.Stop()
			if err := within(100*time.Millisecond, address, server.read); !timedOut(err) {
				t.Errorf("a stopped server: got %v, want a timeout", err)
			}
			p.Cont()
			works(t, "continued", address, server.read)
			p.Kill()
			if err := within(time.Minute, address, server.read); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("a killed server: got %v, want connection refused", err)
			}
			p.Restart()
			patience := time.Second // for what will not come
			if server.keeps {
				patience = time.Minute
			}
			if err := within(patience, address, server.read); server.keeps != (err == nil) {
				t.Errorf("a restarted server keeps its values: %v; reading one: %v", server.keeps, err)
			}
			p.Stop()
			p.Restart()
			works(t, "restarted while stopped", address, server.write, server.read)
		})
	}
}

func TestFaultsOfADeadServerAreErrors(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*Process){"stop": (*Process).Stop, "continue": (*Process).Cont} {
		o := observe(t, func(o testing.TB) {
			_, p := Memcached(o)
			p.Kill()
			p.Kill()
			fault(p)
		})
		if want := name + " memcached: os: process already finished"; !strings.HasPrefix(o.log, want) && o.outcome == "" {
			t.Errorf("got %q, want %q", o.log, want)
		}
	}
}

// works fails the test unless each call succeeds.
func works(t *testing.T, when, address string, calls ...func(context.Context, string) error) {
	t.Helper()
	for _, call := range calls {
		if err := within(time.Minute, address, call); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
}

func within(limit time.Duration, address string, call func(context.Context, string) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return call(ctx, address)
}

func timedOut(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// putItem creates a table, waits until it takes writes, and writes one item.
func putItem(ctx context.Context, addr string) error {
	const table = `{"TableName":"things","AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],` +
		`"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}],` +
		`"ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":1}}`
	if _, err := dynamoCall(ctx, addr, "CreateTable", table); err != nil {
		return err
	}
	for state := ""; !strings.Contains(state, `"ACTIVE"`); {
		var err error
		if state, err = dynamoCall(ctx, addr, "DescribeTable", `{"TableName":"things"}`); err != nil {
			return err
		}
	}
	_, err := dynamoCall(ctx, addr, "PutItem", `{"TableName":"things","Item":{"k":{"S":"key"},"v":{"S":"value"}}}`)
	return err
}

func getItem(ctx context.Context, addr string) error {
	item, err := dynamoCall(ctx, addr, "GetItem", `{"TableName":"things","Key":{"k":{"S":"key"}}}`)
	if err == nil && !strings.Contains(item, `"value"`) {
		err = fmt.Errorf("no value in %s", item)
	}
	return err
}

func putObject(ctx context.Context, addr string) error {
	_, err := signedCall(ctx, "s3", http.MethodPut, "http://"+addr+"/bucket", nil, nil)
	if err != nil && !strings.Contains(err.Error(), "BucketAlreadyOwnedByYou") {
		return err
	}
	_, err = signedCall(ctx, "s3", http.MethodPut, "http://"+addr+"/bucket/dir/key", nil, []byte("value"))
	return err
}

func getObject(ctx context.Context, addr string) error {
	value, err := signedCall(ctx, "s3", http.MethodGet, "http://"+addr+"/bucket/dir/key", nil, nil)
	if err == nil && value != "value" {
		err = fmt.Errorf("got %q", value)
	}
	return err
}

func TestServerEndsWithItsTest(t *testing.T) {
	t.Parallel()
	var p *Process
	t.Run("inner", func(t *testing.T) { _, p = Memcached(t) })
	if p == nil {
		t.Skip("no memcached")
	}
	if alive(p.PID()) {
		t.Errorf("process %d outlived its test", p.PID())
	}
}

func TestServerEndsWithTheTestBinary(t *testing.T) {
	t.Parallel()
	if _, err := installed("memcached"); err != nil {
		unavailable(t, err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asOrphan+"=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); alive(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d outlived the test binary that started it", pid)
		}
	}
}

// alive tells whether a process exists that is more than a zombie nobody has waited for yet.
func alive(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && !strings.Contains(string(status), "State:\tZ")
}

func TestOptionsReachTheServer(t *testing.T) {
	t.Parallel()
	addr, _ := Memcached(t, "-I", "2m")
	value := strings.Repeat("x", 3<<19) // 1.5 MB
	err := within(time.Minute, addr, func(ctx context.Context, addr string) error {
		return converse(ctx, addr, fmt.Sprintf("set k 0 0 %d\r\n%s\r\nquit\r\n", len(value), value), "STORED")
	})
	if err != nil {
		t.Error(err)
	}
}

func TestServerThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	what := memcached([]string{"--no-such-option"})
	if _, err := what.command(0); err != nil {
		unavailable(t, err)
	}
	_, err := newProcess(what)
	if err == nil || !strings.Contains(err.Error(), "ended before") || !strings.Contains(err.Error(), "no-such-option") {
		t.Errorf("got %v, want an error that quotes the server", err)
	}
}

func TestReservedPortsAreDistinct(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for range 200 {
		port, hold, err := reserve()
		if err != nil {
			t.Fatal(err)
		}
		defer hold.Close()
		if seen[port] || port < firstPort || port > lastPort {
			t.Fatalf("port %d: twice, or out of range", port)
		}
		seen[port] = true
	}
}

func TestSharedServerIsOneUntilClosed(t *testing.T) {
	t.Parallel()
	s := slot{what: memcached(nil)}
	p := s.open(t)
	if again := s.open(t); again != p {
		t.Errorf("a second server at %s, want the first at %s", again.Addr(), p.Addr())
	}
	pid := p.PID()
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Errorf("process %d runs on after close", pid)
	}
	next, err := s.get()
	if err != nil || next == p {
		t.Errorf("after close: got %p, %v, want another server than %p", next, err, p)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

func TestSharedDynamoServersAnswer(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB) string{"dynamodb-local": SharedDynamoDBLocal, "dynalite": SharedDynalite} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := within(time.Minute, strings.TrimPrefix(open(t), "http://"), listsTables); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMissingServer is not parallel: it changes the environment.
func TestMissingServer(t *testing.T) {
	t.Setenv("TIMEBLOB_TOOLS", t.TempDir())
	openVersity := func(t testing.TB) { VersityGW(t) }
	for require, want := range map[string]string{
		"":  "skip: versitygw is missing: run scripts/install-servers",
		"1": "fatal: versitygw is missing: run scripts/install-servers",
	} {
		t.Setenv("TIMEBLOB_REQUIRE_SERVERS", require)
		got := observe(t, openVersity).outcome
		if strings.ReplaceAll(got, "bin/", "") != want {
			t.Errorf("TIMEBLOB_REQUIRE_SERVERS=%q: got %q, want %q", require, got, want)
		}
	}
}

func TestOutputIsShownWhenTheTestFails(t *testing.T) {
	t.Parallel()
	for _, fails := range []bool{true, false} {
		o := observe(t, func(o testing.TB) {
			NATS(o)
			if fails {
				o.Errorf("a failure")
			}
		})
		if strings.HasPrefix(o.outcome, "skip") {
			t.Skip(o.outcome)
		}
		if got := strings.Contains(o.log, "Server is ready"); got != fails {
			t.Errorf("failed test: %v, server's output shown: %v; log:\n%s", fails, got, o.log)
		}
	}
}

// observer is a test that records what is reported to it.
type observer struct {
	testing.TB
	outcome, log string
	failed       bool
	cleanups     []func()
}

// observe runs f as a test of its own, with its cleanups.
func observe(t *testing.T, f func(testing.TB)) *observer {
	t.Helper()
	o := &observer{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(o)
	}()
	<-done
	for _, cleanup := range o.cleanups {
		cleanup()
	}
	return o
}

func (o *observer) Cleanup(f func())                { o.cleanups = append([]func(){f}, o.cleanups...) }
func (o *observer) Failed() bool                    { return o.failed }
func (o *observer) Logf(format string, args ...any) { o.log += fmt.Sprintf(format, args...) }

func (o *observer) Errorf(format string, args ...any) {
	o.failed = true
	o.Logf(format, args...)
}

func (o *observer) Skipf(format string, args ...any)  { o.end("skip: "+format, args...) }
func (o *observer) Fatalf(format string, args ...any) { o.end("fatal: "+format, args...) }

// end stops the observed test as FailNow and SkipNow stop a real one.
func (o *observer) end(format string, args ...any) {
	o.outcome = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// TestDynaliteOutlivesItsClients hangs up in the middle of a request, as the tests of faults do.
func TestDynaliteOutlivesItsClients(t *testing.T) {
	t.Parallel()
	endpoint, p := Dynalite(t)
	for range 20 {
		conn, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond) // until it reads the body
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	works(t, "after clients that hung up", strings.TrimPrefix(endpoint, "http://"), putItem, getItem)
}
