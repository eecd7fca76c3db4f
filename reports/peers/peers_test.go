package peers

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/alloctest"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/internal/reportstest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/shortcuts"
)

var hosts, equal = reportstest.Hosts, reportstest.Equal

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.0.0.1:4040":                         "10.0.0.1:4040",
		" a:80 , http://b:81/,https://[::1]:82": "a:80,b:81,[::1]:82",
		"srv:_api._tcp.collector.scope":         "srv:_api._tcp.collector.scope",
		"srv+https:x,a:1":                       "srv:x,a:1",
		"":                                      "must have a host and a port",
		"a":                                     "must have a host and a port",
		"a:1,,b:2":                              "must have a host and a port",
		":4040":                                 "must have a host and a port",
		"ftp://a:1":                             "must begin with http",
		"http://a:1/api":                        "must not have a path",
		"http://u:p@a:1":                        "must not have",
		"srv:":                                  "must be srv:NAME",
		"srv:a b":                               "must be srv:NAME",
		"srv://a":                               "must be srv:NAME",
		"a:0":                                   "the port must be a number from 1 to 65535",
		"https://a:99999":                       "the port must be a number from 1 to 65535",
		"a!:1":                                  "the host must be a name",
		"srv:_api._tcp.a:80":                    "without a port",
		"http://a:1?x":                          "must not have a path",
		"a:\x00":                                "must be host:port",
	} {
		c, err := Parse(text)
		got := c.String()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || (err == nil) != (got == want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// records is a DNS of one name.
type records struct {
	mu      sync.Mutex // guards what follows
	targets []string
	err     error
}

func (r *records) set(targets []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.targets, r.err = targets, err
}

func (r *records) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	if service != "" || proto != "" || name != "_api._tcp.collector.test" {
		return "", nil, errors.New("looked up " + service + proto + name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*net.SRV
	for _, target := range r.targets {
		found = append(found, &net.SRV{Target: target, Port: 4040})
	}
	return "", found, r.err
}

// watch returns the collectors of the name and of a fixed address.
func watch(t *testing.T, dns Resolver, log *slog.Logger) *Set {
	t.Helper()
	list, err := Parse("srv:_api._tcp.collector.test,fixed:1")
	if err != nil {
		t.Fatal(err)
	}
	set, err := New(list, &Options{Resolver: dns, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// names returns the addresses of the known collectors.
func names(s *Set) (names []string) {
	for _, p := range s.Known() {
		names = append(names, p.Name())
	}
	return names
}

// TestCollectorsAreLookedUpAgain checks that what DNS says is followed within the
// refresh, and while it fails or knows nobody the last good list stays.
func TestCollectorsAreLookedUpAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := &records{targets: []string{"b.", "a."}}
		var log bytes.Buffer
		q := watch(t, dns, slog.New(slog.NewTextHandler(&log, nil)))
		if known := names(q); !slices.Equal(known, []string{"fixed:1"}) {
			t.Errorf("before Run: %v", known)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { _ = q.Run(ctx); close(ended) }()
		synctest.Wait()
		for _, step := range []struct {
			targets []string
			err     error
			want    string
		}{
			{[]string{"b.", "a."}, nil, "a:4040 b:4040 fixed:1"},
			{[]string{"c."}, nil, "c:4040 fixed:1"},
			{nil, nil, "c:4040 fixed:1"},
			{[]string{"z."}, errors.New("server is away"), "c:4040 fixed:1"},
			{[]string{"d.", "c.", "d."}, nil, "c:4040 d:4040 fixed:1"},
		} {
			dns.set(step.targets, step.err)
			time.Sleep(5*time.Second + time.Millisecond)
			synctest.Wait()
			if got := strings.Join(names(q), " "); got != step.want {
				t.Errorf("%v, %v: got %q, want %q", step.targets, step.err, got, step.want)
			}
		}
		stop()
		<-ended
		if n := testutil.ToFloat64(q.metrics.failures); n != 2 {
			t.Errorf("%v failures, want 2", n)
		}
		if n := strings.Count(log.String(), "cannot be looked up"); n != 1 {
			t.Errorf("said %d times that look-ups fail, want once:\n%s", n, &log)
		}
	})
}

// TestPeersStay checks that a collector that stays keeps what is known of it.
func TestPeersStay(t *testing.T) {
	t.Parallel()
	dns := &records{targets: []string{"a.", "b."}}
	q := watch(t, dns, nil)
	q.Refresh(t.Context())
	before := q.Known()
	dns.set([]string{"c.", "b."}, nil)
	q.Refresh(t.Context())
	after := q.Known()
	if len(after) != 3 || after[0] != before[1] || after[2] != before[2] {
		t.Errorf("of %v came %v", before, after)
	}
}

// TestHoldingsOnTheWire checks that decoding returns what was encoded.
func TestHoldingsOnTheWire(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]reports.Holdings{
		"nothing": {Held: bucket.Held[*report.Report]{Version: "x-0", Next: -5}},
		"all": {Held: bucket.Held[*report.Report]{Version: "x-1", Next: 1 << 60, Since: 1 << 59, Open: hosts("open"), IsOpen: true,
			Sealed: []bucket.HeldValue[*report.Report]{
				{Entry: index.Entry{Time: -7, Key: "k/-7"}, Value: hosts("h1")},
				{Entry: index.Entry{Time: 8, Key: "k/8"}, Own: true, Value: hosts("h2")},
				{Entry: index.Entry{Time: 9, Key: "k/9"}, Err: errors.New("rotten")},
			}}, Shortcuts: []shortcuts.Shortcut{{Key: "k/1", Report: hosts("s1")}, {Key: "k/2", Report: hosts("s2")}, {Key: "k/3", Err: errors.New("rusty")}},
			Missing: []string{reports.MissingClock, reports.MissingJournal}},
	} {
		head := http.Header{}
		body, err := EncodeHoldings(head, &h)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeHoldings(head, bytes.NewReader(body), 1<<20)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		same := got.Version == h.Version && got.Next == h.Next && got.Since == h.Since && got.IsOpen == h.IsOpen &&
			slices.Equal(got.Missing, h.Missing) &&
			slices.EqualFunc(got.Sealed, h.Sealed, func(a, b bucket.HeldValue[*report.Report]) bool {
				if b.Err != nil {
					return a.Entry == b.Entry && errors.As(a.Err, new(*bucket.HeldError)) && strings.Contains(a.Err.Error(), b.Err.Error())
				}
				equal(t, a.Value, b.Value)
				return a.Entry == b.Entry && a.Own == b.Own
			}) && slices.EqualFunc(got.Shortcuts, h.Shortcuts, func(a, b shortcuts.Shortcut) bool {
			if b.Err != nil {
				return a.Key == b.Key && a.Err != nil && a.Err.Error() == b.Err.Error()
			}
			equal(t, a.Report, b.Report)
			return a.Key == b.Key
		})
		if !same {
			t.Errorf("%s: got %+v, want %+v", name, got, h)
		}
		if h.IsOpen {
			equal(t, got.Open, h.Open)
		}
		for length := range len(body) - len("\r\n") {
			if _, err := DecodeHoldings(head, bytes.NewReader(body[:length]), 1<<20); err == nil {
				t.Fatalf("%s: %d of %d bytes were taken for the whole", name, length, len(body))
			}
		}
	}
}

// TestHoldingsOfOtherVersions reads the headers that earlier collectors send, parts that do not decode, and what no version sends.
func TestHoldingsOfOtherVersions(t *testing.T) {
	t.Parallel()
	part := func(head string) string { return "--b\r\n" + head + "\r\n\r\n" }
	for name, c := range map[string]struct {
		body, parts string
		sealed      int
		fails       bool
	}{
		"nothing":               {body: "--b--"},
		"no end":                {body: "", fails: true},
		"no end of a part":      {body: part("Timeblob-Role: open") + "\x80", fails: true},
		"no next part":          {body: part("Timeblob-Role: open") + "\x80\r\n--b\r\n", parts: "2", fails: true},
		"fewer parts":           {body: part("Timeblob-Role: open") + "\x80\r\n--b--", parts: "2", fails: true},
		"a value that is bad":   {body: part("Timeblob-Role: own\r\nTimeblob-Key: k\r\nTimeblob-Instant: 3") + "\xc1\r\n--b--", parts: "1", sealed: 1},
		"an open tick, bad":     {body: part("Timeblob-Role: open") + "\xc1\r\n--b--", sealed: 1},
		"an open tick, unread":  {body: part("Timeblob-Role: unread") + "rotten\r\n--b--", sealed: 1},
		"a role of a later one": {body: part("Timeblob-Role: later") + "\x80\r\n--b--", fails: true},
		"no instant":            {body: part("Timeblob-Role: unread\r\nTimeblob-Key: k") + "\x80\r\n--b--", fails: true},
	} {
		head := http.Header{"Content-Type": {"multipart/mixed; boundary=b"}, headerVersion: {"v"}, headerNext: {"1"}}
		if c.parts != "" {
			head.Set(headerParts, c.parts)
		}
		h, err := DecodeHoldings(head, strings.NewReader(c.body), 1<<16)
		if (err != nil) != c.fails || err == nil && len(h.Sealed) != c.sealed {
			t.Errorf("%s: %d values, error %v", name, len(h.Sealed), err)
		}
		for _, v := range h.Sealed {
			if v.Err == nil {
				t.Errorf("%s: the value is %v", name, v.Value)
			}
		}
	}
}

// FuzzHoldings reads what a collector might answer that is none.
func FuzzHoldings(f *testing.F) {
	h := reports.Holdings{Held: bucket.Held[*report.Report]{Version: "x", Open: hosts("a"), IsOpen: true,
		Sealed: []bucket.HeldValue[*report.Report]{{Entry: index.Entry{Time: 8, Key: "k/8"}, Value: hosts("h2")}}}}
	head := http.Header{}
	body, err := EncodeHoldings(head, &h)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body, head.Get("Content-Type"))
	f.Add([]byte("--b\r\nTimeblob-Role: open\r\n\r\n\x80\r\n--b--"), "multipart/mixed; boundary=b")
	f.Add([]byte("--b\r\nTimeblob-Role: own\r\nTimeblob-Instant: x\r\n\r\n\x80\r\n--b--"), "multipart/mixed; boundary=b")
	f.Add([]byte(""), "text/html")
	f.Fuzz(func(t *testing.T, body []byte, media string) {
		head := http.Header{"Content-Type": {media}, headerVersion: {"v"}, headerNext: {"1"}}
		var got reports.Holdings
		var err error
		alloctest.Bounded(t, "holdings", int64(len(body)+len(media)), 256<<10, func() { got, err = DecodeHoldings(head, bytes.NewReader(body), 1<<16) })
		if err == nil && got.IsOpen && got.Open == nil {
			t.Error("an open tick without a value")
		}
	})
}
