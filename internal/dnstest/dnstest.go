// Package dnstest runs a DNS server for tests, which answers from records that
// the test sets.
package dnstest

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Server is a DNS server over UDP on a free port of 127.0.0.1. Its methods may
// be called from any goroutine.
type Server struct {
	conn net.PacketConn

	mu      sync.Mutex                           // guards what follows
	records map[string][]dnsmessage.ResourceBody // by name, in lower case, with its last dot
}

// Start starts a server without records, which ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{conn: conn, records: make(map[string][]dnsmessage.ResourceBody)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve()
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return s
}

// Addr is the server's host:port.
func (s *Server) Addr() string { return s.conn.LocalAddr().String() }

// Resolver is Go's own, asking this server.
func (s *Server) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", s.Addr())
	}}
}

// SetSRV gives a name SRV records, in place of those it had: one for each
// target, all at one port. A name without any does not exist.
func (s *Server) SetSRV(name string, port uint16, targets ...string) {
	var bodies []dnsmessage.ResourceBody
	for _, target := range targets {
		bodies = append(bodies, &dnsmessage.SRVResource{Target: dnsmessage.MustNewName(dotted(target)), Port: port})
	}
	s.set(name, bodies)
}

// AddSRV gives a name one record more.
func (s *Server) AddSRV(name string, port uint16, target string) {
	s.mu.Lock()
	had := s.records[dotted(name)]
	s.mu.Unlock()
	s.set(name, append(had[:len(had):len(had)],
		&dnsmessage.SRVResource{Target: dnsmessage.MustNewName(dotted(target)), Port: port}))
}

// SetA gives a name an IPv4 address.
func (s *Server) SetA(name string, address [4]byte) {
	s.set(name, []dnsmessage.ResourceBody{&dnsmessage.AResource{A: address}})
}

func (s *Server) set(name string, bodies []dnsmessage.ResourceBody) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[dotted(name)] = bodies
}

// dotted is a name in lower case with its last dot.
func dotted(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") + "." }

// serve answers the questions that come in until the connection is closed.
func (s *Server) serve() {
	packet := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(packet)
		if err != nil {
			return
		}
		if answer, err := s.answer(packet[:n]); err == nil {
			_, _ = s.conn.WriteTo(answer, from)
		}
	}
}

// answer returns what to answer to a packet.
func (s *Server) answer(packet []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(packet); err != nil {
		return nil, err
	}
	if len(m.Questions) == 0 {
		return nil, errors.New("a packet without a question")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	question := m.Questions[0]
	bodies := s.records[strings.ToLower(question.Name.String())]
	if len(bodies) == 0 {
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
