package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/remote"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/tiered"
)

// hasty are flags for short ticks.
var hasty = []string{"--tick", "100ms", "--window", "1s"}

// TestReadyOnServers checks that /readyz follows the stores, down and up again, and ignores the cache.
func TestReadyOnServers(t *testing.T) {
	t.Parallel()
	dynamo, table := servertest.DynamoDBLocal(t)
	s3, blobs := servertest.VersityGW(t)
	cacheAt, cache := servertest.Memcached(t)
	index := fmt.Sprintf("dynamodb://%s:%s@%s/reports", servertest.AccessKey, servertest.SecretKey, strings.TrimPrefix(dynamo, "http://"))
	objects := fmt.Sprintf("s3://%s:%s@%s/reports", s3.AccessKey, s3.SecretKey, strings.TrimPrefix(s3.Endpoint, "http://"))
	s := serveWithin(t, append(append(create(t, index, objects), "--cache", "memcached://"+cacheAt, "--tenant-header", remote.TenantHeader), hasty...)...)
	ready := s.url + "/readyz"
	until(t, ready, 200, "ready\n")
	cache.Kill()
	until(t, ready, 200, "ready\nnote: cache memcached: ")
	blobs.Kill()
	until(t, ready, 503, "blobs: ")
	table.Kill()
	until(t, ready, 503, "index: ")
	until(t, s.url+"/healthz", 200, "ok\n")
	blobs.Restart()
	eventually(t, func() bool { _, body := fetch(t, ready); return !strings.Contains(body, "blobs: ") }, "blobs are not reachable again")
	until(t, ready, 503, "index: ")
	table.Restart() // empty: that server keeps nothing
	create(t, index, objects)
	cache.Restart()
	until(t, ready, 200, "ready\n")
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	for _, want := range []string{"check=blobs optional=false err=", "s3://127.0.0.1:", "connection refused", "passes again"} {
		if !strings.Contains(s.said(), want) {
			t.Errorf("it does not say %q: %s", want, s.said())
		}
	}
	if strings.Contains(s.said(), servertest.SecretKey) {
		t.Error("it says the secret")
	}
}

// TestShutdownDelay checks that the collector is not ready after the signal, but accepts reports during
// --shutdown-delay.
func TestShutdownDelay(t *testing.T) {
	t.Parallel()
	store, path := embedded(t), goldentest.Files(t, "hosts/*/*")[0]
	r := runServe(t, nil, append(append(store, "--shutdown-delay", "3s"), hasty...)...)
	until(t, r.url+"/readyz", 200, "ready\n")
	r.signal()
	until(t, r.url+"/readyz", 503, "shutting down\n")
	must(t, "push", "--to", r.url, path)
	if status, body := fetch(t, r.url+"/healthz"); status != 200 || body != "ok\n" {
		t.Errorf("healthz: %d %s", status, body)
	}
	if code, took := r.end(t); code != 0 || took > 25*time.Second {
		t.Errorf("exit %d after %v: %s", code, took, r.stderr)
	}
	got := must(t, append([]string{"query", "--json", "--start", "-1h", "--end", "+1h"}, store...)...)
	goldentest.Equal(t, []byte(got), []byte(must(t, "inspect", "--json", "--upgrade", path)), anyID)
}

// client is a connection that stays open.
type client struct {
	net.Conn
	answers *bufio.Reader
}

func dial(t *testing.T, url string) *client {
	t.Helper()
	conn := must1(net.Dial("tcp", strings.TrimPrefix(url, "http://")))
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &client{conn, bufio.NewReader(conn)}
}

// say sends text and returns the answer.
func (c *client) say(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func (c *client) hear(t *testing.T) *http.Response {
	t.Helper()
	resp, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	body := must1(io.ReadAll(resp.Body))
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp
}

// TestShutdownDrains checks that a report under way at the signal is accepted and stored. A later report on
// an open connection is refused with a Retry-After.
func TestShutdownDrains(t *testing.T) {
	t.Parallel()
	store, path := embedded(t), goldentest.Files(t, "hosts/*/*")[0]
	body := must1(os.ReadFile(path))
	head := fmt.Sprintf("POST /api/report HTTP/1.1\r\nHost: x\r\nContent-Type: application/msgpack\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", len(body))
	r := runServe(t, nil, append(store, hasty...)...)
	slow, kept := dial(t, r.url), dial(t, r.url)
	kept.say(t, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp := kept.hear(t); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	slow.say(t, head+string(body[:100]))
	eventually(t, func() bool { return strings.Contains(metrics(t, r.url), "go_goroutines") }, "no metrics")
	http.DefaultClient.CloseIdleConnections()
	r.signal()
	eventually(t, func() bool { status, _ := fetch(t, r.url+"/healthz"); return status == 0 }, "it accepts connections")
	kept.say(t, head+string(body))
	resp := kept.hear(t)
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "3" || !resp.Close {
		t.Errorf("kept: %s %v", resp.Status, resp.Header)
	}
	slow.say(t, string(body[100:]))
	if resp := slow.hear(t); resp.StatusCode != 200 {
		t.Errorf("slow: %s", resp.Status)
	}
	if code, _ := r.end(t); code != 0 {
		t.Errorf("exit %d: %s", code, r.stderr)
	}
	got := must(t, append([]string{"query", "--json", "--start", "-1h", "--end", "+1h"}, store...)...)
	goldentest.Equal(t, []byte(got), []byte(must(t, "inspect", "--json", "--upgrade", path)), anyID)
}

// TestShutdownWithoutStore checks that the log names what could not be stored, and that the process ends in
// time with exit code 1.
func TestShutdownWithoutStore(t *testing.T) {
	t.Parallel()
	s3, blobs := servertest.VersityGW(t)
	objects := fmt.Sprintf("s3://%s:%s@%s/reports", s3.AccessKey, s3.SecretKey, strings.TrimPrefix(s3.Endpoint, "http://"))
	store := create(t, newTable(t, servertest.SharedDynalite), objects)
	r := runServe(t, nil, append(store, "--tick", "1m", "--window", "2m", "--tenant-header", remote.TenantHeader, "--shutdown-timeout", "15s")...)
	must(t, "push", "--to", r.url, "--tenant", "acme", goldentest.Files(t, "hosts/*/*")[0])
	blobs.Stop() // it hangs
	r.signal()
	code, took := r.end(t)
	if code != 1 || took > 30*time.Second {
		t.Errorf("exit %d after %v", code, took)
	}
	if said := r.stderr.String(); !strings.Contains(said, `collector: not stored: tenant "acme", instant `) || !strings.Contains(said, "collector: 1 value lost\n") {
		t.Errorf("said %s", said)
	}
}

// TestSecondSignal checks that a second signal ends the process at once.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	s3, blobs := servertest.VersityGW(t)
	objects := fmt.Sprintf("s3://%s:%s@%s/reports", s3.AccessKey, s3.SecretKey, strings.TrimPrefix(s3.Endpoint, "http://"))
	store := create(t, newTable(t, servertest.SharedDynalite), objects)
	r := runServe(t, nil, append(store, "--tick", "1m", "--window", "2m", "--shutdown-timeout", "10m")...)
	must(t, "push", "--to", r.url, goldentest.Files(t, "hosts/*/*")[0])
	blobs.Stop()
	r.signal()
	r.says(t, "stopping: storing what is left")
	eventually(t, func() bool {
		r.signal()
		select {
		case <-r.ended:
			return true
		default:
			return false
		}
	}, "a second signal does not end it")
	if status := r.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("ended by %v", r.cmd.ProcessState)
	}
}

// deaf is a tier whose puts hang and ignore their context.
type deaf struct {
	tiered.MemTier
	release chan struct{}
}

func (d *deaf) Put(context.Context, string, []byte) error {
	<-d.release
	return errors.New("released")
}

// TestShutdownOfAHungStore checks that a hanging store does not keep the process past the deadline.
func TestShutdownOfAHungStore(t *testing.T) {
	t.Parallel()
	blobs := &deaf{release: make(chan struct{})}
	defer close(blobs.release)
	s := newServer(t, &stores.Store{Index: index.NewMemIndex(), Authority: blobs}, "--shutdown-timeout", "500ms")
	if err := s.runner.(*reports.Collector).Add(t.Context(), "a", sample("one", 1), reports.Origin{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begun := time.Now()
	err := s.serve(ctx, &cli.Process{Stderr: terminal.NewWriter(&buffer{})}, must1(net.Listen("tcp", "127.0.0.1:0")))
	if !errors.Is(err, errHung) || time.Since(begun) > 10*time.Second {
		t.Errorf("error %v after %v", err, time.Since(begun))
	}
	if err := s.ops.close(func() error { select {} }); err != nil {
		t.Errorf("closing what hangs: %v", err)
	}
}

// TestClosingAStoreThatHangs checks that a hanging Close does not either.
func TestClosingAStoreThatHangs(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	o := &operations{shutdown: time.Second, deadline: time.Now().Add(-time.Second)}
	if err := o.close(func() error { <-release; return nil }); !errors.Is(err, errHung) {
		t.Errorf("error %v", err)
	}
	o.deadline = time.Time{}
	if err := o.close(func() error { return io.EOF }); err != io.EOF {
		t.Errorf("error %v", err)
	}
}

// reluctant is a listener whose Accept returns only after the second Close.
type reluctant struct {
	net.Listener
	closes          atomic.Int64
	accepting, done chan struct{} // closed by Accept, and by the second Close
}

func (l *reluctant) Accept() (net.Conn, error) {
	close(l.accepting)
	<-l.done
	return nil, net.ErrClosed
}

func (l *reluctant) Close() error {
	if l.closes.Add(1) == 2 {
		close(l.done)
	}
	return l.Listener.Close()
}

// TestListenerClosedTwice checks that a shutdown accepts a listener that is closed already and cuts off no
// request.
func TestListenerClosedTwice(t *testing.T) {
	t.Parallel()
	s := newServer(t, &stores.Store{Index: index.NewMemIndex(), Authority: new(tiered.MemTier)})
	said := &buffer{}
	s.log = telemetry.Warnings(said)
	l := &reluctant{Listener: must1(net.Listen("tcp", "127.0.0.1:0")), accepting: make(chan struct{}), done: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- s.web.Serve(l) }()
	<-l.accepting
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s.endRequests(ctx, l)
	if err := <-served; !errors.Is(err, http.ErrServerClosed) || l.closes.Load() != 2 || said.String() != "" {
		t.Errorf("ended with %v, closed %d times, said %s", err, l.closes.Load(), said)
	}
	if err := s.runner.Close(ctx); err != nil {
		t.Error(err)
	}
}
