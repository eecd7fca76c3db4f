package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/remote"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// bomb is a request that is malformed, or larger once decompressed than it looks.
type bomb struct {
	name   string
	want   int
	body   func() []byte
	header []string // "Name: value"; of a repeated name the last counts
}

const (
	asJSON    = "Content-Type: application/json"
	asMsgpack = "Content-Type: application/msgpack"
	asGzip    = "Content-Encoding: gzip"
	mega      = 1 << 20
)

// repeat returns head, then element repeated until size bytes, then tail.
func repeat(head, element, tail string, size int) func() []byte {
	return func() []byte {
		return []byte(head + strings.Repeat(element, size/len(element)) + tail)
	}
}

func text(s string) func() []byte { return func() []byte { return []byte(s) } }

// packed is repeat compressed with gzip, one member for each megabyte. All members except the first and the
// last are the same.
func packed(head, element, tail string, size int) func() []byte {
	return func() []byte {
		part := strings.Repeat(element, mega/len(element))
		members := bytes.Repeat(member(part), size/len(part))
		return slices.Concat(member(head), members, member(tail))
	}
}

func member(text string) []byte {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, _ = io.WriteString(zw, text) // into memory, as the next
	_ = zw.Close()
	return b.Bytes()
}

// zeros is a gigabyte of zeros, compressed to one megabyte.
var zeros = packed("", "\x00", "", 1<<30)

func encodedSample() []byte { return must1(wire.Codec{}.Encode(sample("bomb", 3))) }

var bombs = []bomb{
	{"JSON: arrays nested deep", 400, repeat("", "[", "", 8*mega), []string{asJSON}},
	{"JSON: objects nested deep", 400, repeat("", `{"a":`, "", 8*mega), []string{asJSON}},
	{"JSON: children nested deep", 400, repeat(`{"Host":{"nodes":{"n":`, `{"children":[`, "", mega), []string{asJSON}},
	{"JSON: nested deep, compressed", 400, packed("", "[", "", 60*mega), []string{asJSON, asGzip}},
	{"JSON: a huge array of a field unknown", 200, repeat(`{"x":[0`, ",0", "]}", 15*mega), []string{asJSON}},
	{"JSON: a huge array, compressed", 200, packed(`{"x":[0`, ",0", "]}", 63*mega), []string{asJSON, asGzip}},
	{"JSON: a huge array of arrays, compressed", 200, packed(`{"x":[[]`, ",[]", "]}", 63*mega), []string{asJSON, asGzip}},
	{"JSON: a huge array of plugins", 413, repeat(`{"Plugins":[{}`, ",{}", "]}", 15*mega), []string{asJSON}},
	{"JSON: a long text", 200, packed(`{"x":"`, "x", `"}`, 63*mega), []string{asJSON, asGzip}},
	{"JSON: a long name", 200, packed(`{"`, "x", `":0}`, 63*mega), []string{asJSON, asGzip}},
	{"JSON: a long number", 400, repeat(`{"Window":1`, "0", `}`, 8*mega), []string{asJSON}},
	{"JSON: many keys", 200, repeat(`{"x":0`, `,"y":0`, "}", 15*mega), []string{asJSON}},
	{"JSON: many nodes", 413, packed(`{"Endpoint":{"nodes":{"x":{}`, `,"y":{}`, "}}}", 62*mega), []string{asJSON, asGzip}},
	{"JSON: a number for a topology", 400, text(`{"Endpoint":1}`), []string{asJSON}},
	{"JSON: an object for a text", 400, text(`{"ID":{}}`), []string{asJSON}},
	{"JSON: a text for a number", 400, text(`{"Window":"3s"}`), []string{asJSON}},
	{"JSON: no time", 400, text(`{"TS":"now"}`), []string{asJSON}},
	{"JSON: no object", 400, text(`[]`), []string{asJSON}},
	{"JSON: null", 400, text(`null`), []string{asJSON}},
	{"JSON: two of them", 400, text(`{}{}`), []string{asJSON}},
	{"JSON: broken", 400, text(`{"Host":`), []string{asJSON}},
	{"JSON: empty", 400, text(``), []string{asJSON}},
	{"JSON: msgpack", 400, text("\x80"), []string{asJSON}},
	{"JSON: control characters", 400, text("{\"a\x00\x01\n\": \x02}"), []string{asJSON}},

	{"msgpack: empty", 400, text(""), []string{asMsgpack}},
	{"msgpack: a huge map", 400, text("\xdf\xff\xff\xff\xff"), []string{asMsgpack}},
	{"msgpack: a huge array", 400, text("\x81\xa7Plugins\xdd\xff\xff\xff\xff"), []string{asMsgpack}},
	{"msgpack: a huge text", 400, text("\x81\xa2ID\xdb\xff\xff\xff\xff"), []string{asMsgpack}},
	{"msgpack: huge bytes", 400, text("\x81\xa2ID\xc6\xff\xff\xff\xff"), []string{asMsgpack}},
	{"msgpack: a huge extension", 400, text("\x81\xa1x\xc9\xff\xff\xff\xff\x01"), []string{asMsgpack}},
	{"msgpack: nested deep", 400, repeat("\x81\xa1x", "\x91", "", 15*mega), []string{asMsgpack}},
	{"msgpack: nested deep, compressed", 400, packed("\x81\xa1x", "\x81\xa1x", "", 63*mega), []string{asMsgpack, asGzip}},
	{"msgpack: many empty nodes", 413, packed("\x81\xa8Endpoint\x81\xa5nodes\xdf\x01\x40\x00\x00", "\xa0\x80", "", 42*mega), []string{asMsgpack, asGzip}},
	{"msgpack: a map that is too long", 400, repeat("\xdf\x00\x7f\xff\xff", "\xa1x\x01", "", 15*mega), []string{asMsgpack}},
	{"msgpack: JSON", 400, text(`{}`), []string{asMsgpack}},
	{"msgpack: and more", 400, func() []byte { return append([]byte("\x80"), encodedSample()...) }, []string{asMsgpack}},

	{"gzip: 1 GB in 1 MB", 413, zeros, []string{asMsgpack, asGzip}},
	{"gzip: 1 GB in 1 MB as JSON", 413, zeros, []string{asJSON, asGzip}},
	{"gzip: of gzip", 400, func() []byte { return member(string(zeros())) }, []string{asMsgpack, asGzip}},
	{"gzip: many empty members", 400, func() []byte { return bytes.Repeat(member(""), 15*mega/len(member(""))) }, []string{asMsgpack, asGzip}},
	{"gzip: a long name", 400, repeat("\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\xff", "x", "\x00", 15*mega), []string{asMsgpack, asGzip}},
	{"gzip: broken", 400, func() []byte { return bytes.Repeat([]byte("\x1f\x8b\x08"), 100) }, []string{asMsgpack, asGzip}},
	{"gzip: cut", 400, func() []byte { return encodedSample()[:50] }, []string{asMsgpack, asGzip}},
	{"gzip: and more", 400, func() []byte { return append(encodedSample(), "garbage"...) }, []string{asMsgpack, asGzip}},
	{"gzip: none", 400, text("\x80"), []string{asMsgpack, asGzip}},
	{"gzip: nothing", 400, text(""), []string{asMsgpack, asGzip}},
	{"gzip: not said", 400, encodedSample, []string{asMsgpack}},
	{"coding: deflate", 415, encodedSample, []string{asMsgpack, "Content-Encoding: deflate"}},
	{"coding: twice", 415, encodedSample, []string{asMsgpack, "Content-Encoding: gzip, gzip"}},
	{"coding: long", 415, encodedSample, []string{asMsgpack, "Content-Encoding: " + strings.Repeat("x", 10_000)}},
	{"type: none", 400, encodedSample, []string{asGzip}},
	{"type: wrong", 400, encodedSample, []string{"Content-Type: text/html", asGzip}},
	{"type: long", 400, encodedSample, []string{"Content-Type: " + strings.Repeat("x/", 5_000), asGzip}},
	{"body: over the limit", 413, repeat("", "x", "", 17*mega), []string{asMsgpack}},
	{"tenant: bad", 400, encodedSample, []string{asMsgpack, asGzip, remote.TenantHeader + ": a/b"}},
}

// TestBombs posts bombs. The answer names the fault in one line, memory stays bounded, and other tenants are
// served during and after the attack.
func TestBombs(t *testing.T) {
	t.Parallel()
	c := startBuilt(t, "--tenant-header", remote.TenantHeader, "--client-timeout", "2s")
	idle := c.memory()
	other := &bystander{url: c.url, body: must1(wire.Codec{}.Encode(sample("bystander", 20)))}
	stop := other.begin()
	for _, b := range bombs {
		begun := time.Now()
		status, said := c.drop(t, b)
		t.Logf("%s: %d after %v, memory %d MB more", b.name, status, time.Since(begun).Round(time.Millisecond), (c.memory()-idle)/1e6)
		b.check(t, status, said)
	}
	c.dropAtOnce(t)
	for name, r := range rawBombs {
		status, said := c.say(t, r)
		bomb{name: name, want: r.want}.check(t, status, said)
	}
	stop()
	t.Logf("memory: %d MB before, %d MB more at most; others took %v", idle/1e6, (c.most.Load()-idle)/1e6, other.slowest())
	if grew := c.most.Load() - idle; grew > maxBlast {
		t.Errorf("memory grew by %d bytes", grew)
	}
	other.check(t)
	c.calm(t)
	if code := c.stop(); code != 0 || c.said() != "" {
		t.Errorf("exit %d: %s", code, c.said())
	}
}

// dropAtOnce posts the slowest bombs, three at a time.
func (c *built) dropAtOnce(t *testing.T) {
	var g errgroup.Group
	g.SetLimit(3)
	for _, b := range bombs {
		if len(b.header) == 2 && b.want != http.StatusUnsupportedMediaType {
			g.Go(func() error {
				status, said := c.drop(t, b)
				b.check(t, status, said)
				return nil
			})
		}
	}
	_ = g.Wait()
}

// maxBlast limits the memory of bombs: twice what the worst body of 64 MiB decodes to, because garbage stays
// for a while, and longer on a busy machine.
const maxBlast = 2200e6

// check checks an answer.
func (b bomb) check(t *testing.T, status int, said string) {
	t.Helper()
	line, rest, _ := strings.Cut(said, "\n")
	if status != b.want || len(said) > 500 || rest != "" || (status == http.StatusOK) != (line == "") {
		t.Errorf("%s: %d, want %d: %q", b.name, status, b.want, said)
	}
}

// drop posts a bomb.
func (c *built) drop(t *testing.T, b bomb) (status int, said string) {
	t.Helper()
	return c.dropFor(t, b, "bomber")
}

// dropFor posts a bomb for a tenant.
func (c *built) dropFor(t *testing.T, b bomb, tenant string) (status int, said string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, c.url+"/api/report", bytes.NewReader(b.body()))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range append([]string{remote.TenantHeader + ": " + tenant}, b.header...) {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		t.Errorf("%s: %v", b.name, err)
		return 0, ""
	}
	return heard(t, resp)
}

func heard(t *testing.T, resp *http.Response) (status int, said string) {
	t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(text)
}

// rawBomb is a request that an HTTP client would not send.
type rawBomb struct {
	want       int
	head, more string // more is repeated until there is an answer
	end        bool   // whether nothing follows the head
}

const rawPost = "POST /api/report HTTP/1.1\r\nHost: x\r\n" + asMsgpack + "\r\n" + remote.TenantHeader + ": bomber\r\n"

var rawBombs = map[string]rawBomb{
	"chunks without end":   {413, rawPost + "Transfer-Encoding: chunked\r\n\r\n", "1000\r\n" + strings.Repeat("x", 1<<12) + "\r\n", false},
	"a chunk of no length": {400, rawPost + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "", false},
	"a huge chunk, cut":    {400, rawPost + "Transfer-Encoding: chunked\r\n\r\nffffffff\r\nx", "", true},
	"a body, cut":          {400, rawPost + "Content-Length: 1000\r\n\r\nx", "", true},
	"a body, not sent":     {408, rawPost + "Content-Length: 1000\r\n\r\nx", "", false},
	"a body announced":     {413, rawPost + "Expect: 100-continue\r\nContent-Length: 100000000\r\n\r\n", "", false},
	"two lengths":          {400, rawPost + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx", "", false},
	"a length below zero":  {400, rawPost + "Content-Length: -1\r\n\r\n", "", false},
	"a coding in transfer": {501, rawPost + "Transfer-Encoding: gzip\r\n\r\n", "", false},
	"a header, not sent":   {408, rawPost, "", false},
	"a header too long":    {431, rawPost + "X: ", strings.Repeat("x", 1<<12), false},
	"headers too many":     {431, rawPost, "X: y\r\n", false},
	"no host":              {400, "GET /api HTTP/1.1\r\n\r\n", "", false},
	"no HTTP":              {400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "", false},
}

// say sends a raw bomb and returns the answer.
func (c *built) say(t *testing.T, b rawBomb) (status int, said string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	answer := make(chan *http.Response, 1)
	go func() {
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%.80q: %v", b.head, err)
		}
		answer <- resp
	}()
	_, err = io.WriteString(conn, b.head)
	for err == nil && b.more != "" {
		_, err = io.WriteString(conn, b.more)
	}
	if b.end {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	if resp := <-answer; resp != nil {
		return heard(t, resp)
	}
	return 0, ""
}
