package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/remote"
)

// herd is many connections to one server that send one byte a second.
type herd struct {
	t       *testing.T
	address string
	conns   []*dribbler

	mu   sync.Mutex // guards the fields below
	came int
	told map[string]int // statuses, "" for none, "gone" where the connection was reset
}

// dribbler is one connection of a herd. Half of them send a header, half a body.
type dribbler struct {
	number int
	conn   net.Conn // nil after it is cut off
	said   []byte   // what the server sent
}

// herdSize returns how many connections this process may open.
func herdSize(t *testing.T) int {
	t.Helper()
	if files := raiseOpenFiles(t); files < 12_000 {
		t.Logf("only 2000 connections: at most %d files may be open", files)
		return 2000
	}
	return 10_000
}

func newHerd(t *testing.T, address string) *herd {
	t.Helper()
	h := &herd{t: t, address: address, told: map[string]int{}}
	for i := range herdSize(t) {
		h.conns = append(h.conns, &dribbler{number: i})
	}
	t.Cleanup(h.scatter)
	return h
}

// dribble sends one byte over each connection within a second. It may open connections again that were cut
// off.
func (h *herd) dribble(again bool) {
	second := time.After(time.Second)
	var g sync.WaitGroup
	for part := range slices.Chunk(h.conns, len(h.conns)/8) {
		g.Go(func() {
			for _, d := range part {
				h.step(d, again)
			}
		})
	}
	g.Wait()
	<-second
}

func (h *herd) step(d *dribbler, again bool) {
	switch {
	case d.conn != nil:
		if told, cut := d.drip(); cut {
			h.note(told)
		}
	case again:
		if err := d.open(h.address); err != nil {
			h.t.Error(err)
			return
		}
		h.mu.Lock()
		h.came++
		h.mu.Unlock()
	}
}

func (h *herd) note(told string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told[told]++
}

// left returns how many connections are open.
func (h *herd) left() (n int) {
	for _, d := range h.conns {
		if d.conn != nil {
			n++
		}
	}
	return n
}

// scatter closes the open connections.
func (h *herd) scatter() {
	for _, d := range h.conns {
		if d.conn != nil {
			d.conn.Close()
		}
	}
}

const (
	slowHeader = "POST /api/report HTTP/1.1\r\nHost: x\r\nX-Slow: "
	slowBody   = "POST /api/report HTTP/1.1\r\nHost: x\r\nContent-Type: application/msgpack\r\nContent-Encoding: gzip\r\n" +
		remote.TenantHeader + ": slow\r\nContent-Length: 16000000\r\n\r\n\x1f\x8b"
)

// open connects from one of several addresses, so that there are enough ports, and begins a request.
func (d *dribbler) open(address string) (err error) {
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+d.number%8))}, Timeout: 20 * time.Second}
	if d.conn, err = from.Dial("tcp", address); err != nil {
		d.conn = nil
		return err
	}
	text := slowHeader
	if d.number%2 == 1 {
		text = slowBody
	}
	d.said = nil
	_, _ = io.WriteString(d.conn, text) // an error means cut off; the next byte reports it
	return nil
}

var statusLine = regexp.MustCompile(`^HTTP/1\.1 (\d+) `)

// drip sends a byte. If the connection is cut off it returns what the server sent.
func (d *dribbler) drip() (told string, cut bool) {
	_, _ = d.conn.Write([]byte{'x'})
	_ = d.conn.SetReadDeadline(time.Now().Add(time.Millisecond / 10))
	more := make([]byte, 1<<10)
	n, err := d.conn.Read(more)
	d.said = append(d.said, more[:n]...)
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return "", false
	}
	d.conn.Close()
	d.conn = nil
	if status := statusLine.FindSubmatch(d.said); status != nil {
		return string(status[1]), true
	}
	if errors.Is(err, io.EOF) {
		return "", true
	}
	return "gone", true
}

// bystander is a well-behaved client. It posts and asks over new connections and over one that it keeps.
type bystander struct {
	url  string
	body []byte
	kept http.Client

	took   []time.Duration
	faults []string
}

// begin posts and asks until stop is called.
func (b *bystander) begin() (stop func()) {
	ending, ended := make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); b.run(ending) }()
	return func() { close(ending); <-ended }
}

// check checks that no request failed or took long.
func (b *bystander) check(t *testing.T) {
	t.Helper()
	if took := b.slowest(); len(b.faults) > 0 || took > 5*time.Second {
		t.Errorf("others took %v, and failed %d times of %d: %.300q", took, len(b.faults), len(b.took), b.faults)
	}
}

// run posts and asks until stop is closed.
func (b *bystander) run(stop <-chan struct{}) {
	fresh := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	b.kept = http.Client{Timeout: time.Minute, Transport: &http.Transport{}}
	defer b.kept.CloseIdleConnections()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-time.After(20 * time.Millisecond):
		}
		client := &b.kept
		if i%2 == 0 {
			client = &fresh
		}
		b.request(client, http.MethodPost)
		b.request(client, http.MethodGet)
	}
}

func (b *bystander) request(client *http.Client, method string) {
	begun := time.Now()
	if err := b.try(client, method); err != nil {
		b.faults = append(b.faults, fmt.Sprintf("%s: %v", method, err))
	}
	b.took = append(b.took, time.Since(begun))
}

func (b *bystander) try(client *http.Client, method string) error {
	r, err := http.NewRequest(method, b.url+"/api/report", nil)
	if err != nil {
		return err
	}
	if method == http.MethodPost {
		r, err = http.NewRequest(method, b.url+"/api/report", bytes.NewReader(b.body))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/msgpack")
		r.Header.Set("Content-Encoding", "gzip")
	}
	r.Header.Set(remote.TenantHeader, "bystander")
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.100s", resp.Status, said)
	}
	return err
}

// slowest returns the 99th percentile of the durations.
func (b *bystander) slowest() time.Duration {
	slices.Sort(b.took)
	return b.took[len(b.took)*99/100]
}
