package memcache_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/timeblob/timeblob/memcache"
)

// zone answers like the DNS of a cluster: an SRV record for the service, whose
// targets come in no order, and an address for each.
type zone map[string][]dnsmessage.ResourceBody

// serve answers the questions that come in on conn until it is closed.
func (z zone) serve(conn net.PacketConn) {
	packet := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(packet)
		if err != nil {
			return
		}
		if answer, err := z.answer(packet[:n]); err == nil {
			_, _ = conn.WriteTo(answer, from)
		}
	}
}

func (z zone) answer(packet []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(packet); err != nil {
		return nil, err
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	question := m.Questions[0]
	bodies, ok := z[strings.ToLower(question.Name.String())]
	if !ok {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, body := range bodies {
		if isOf(body, question.Type) {
			header := dnsmessage.ResourceHeader{Name: question.Name, Class: question.Class, TTL: 1}
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: body})
		}
	}
	return m.Pack()
}

func isOf(body dnsmessage.ResourceBody, kind dnsmessage.Type) bool {
	switch body.(type) {
	case *dnsmessage.SRVResource:
		return kind == dnsmessage.TypeSRV
	case *dnsmessage.AResource:
		return kind == dnsmessage.TypeA
	}
	return false
}

// resolver returns Go's own, asking a server of this zone.
func (z zone) resolver(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go z.serve(conn)
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// TestRecordsOfARealResolver finds servers as a collector in a cluster does.
func TestRecordsOfARealResolver(t *testing.T) {
	t.Parallel()
	target := func(name string) *dnsmessage.SRVResource {
		return &dnsmessage.SRVResource{Target: dnsmessage.MustNewName(name), Port: 11211}
	}
	z := zone{
		"_memcached._tcp.cache.test.": {target("one.cache.test."), target("two.cache.test.")},
		"one.cache.test.":             {&dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}}},
		"two.cache.test.":             {&dnsmessage.AResource{A: [4]byte{192, 0, 2, 2}}},
	}
	servers := newFarm("192.0.2.1:11211", "192.0.2.2:11211")
	t.Cleanup(servers.wait)
	tier := open(t, memcache.SRV("memcached", "cache.test."),
		memcache.Options{Resolver: z.resolver(t), Dial: servers.dial, Timeout: patience})
	if got := spread(t, tier, servers); got != "ab" {
		t.Errorf("%q are used, want both", got)
	}
}
