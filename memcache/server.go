package memcache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	gomemcache "github.com/bradfitz/gomemcache/memcache"
	"github.com/sony/gobreaker/v2"
)

// server is one memcached: its addresses, its idle connections and its circuit breaker.
type server struct {
	name      string
	opts      *Options
	metrics   *metrics
	breaker   *gobreaker.TwoStepCircuitBreaker[struct{}]
	addresses atomic.Pointer[[]string] // nil until resolved

	mu      sync.Mutex // guards the fields below; the breaker may hold its own lock around it, never the reverse
	idle    []*session // the last one was used last
	retired bool
	state   gobreaker.State // the state that metrics show
}

func newServer(name string, opts *Options, m *metrics) *server {
	s := &server{name: name, opts: opts, metrics: m}
	s.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:   1,
		Timeout:       opts.Cooldown,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(opts.Failures) },
		IsExcluded:    func(err error) bool { return err == errNoVerdict },
		OnStateChange: func(_ string, _, to gobreaker.State) { s.becomes(to) },
	})
	m.servers(s.state).Inc()
	return s
}

// exchange runs work on a connection to the server, unless the circuit is open. Its errors name the server.
func (s *server) exchange(ctx context.Context, work func(*gomemcache.Client) error) error {
	done, err := s.breaker.Allow()
	if err != nil {
		return fmt.Errorf("server %s: %w", s.name, ErrUnavailable)
	}
	begin := time.Now()
	err = s.talk(ctx, work)
	done(s.verdict(ctx, err, time.Since(begin)))
	if err != nil {
		return fmt.Errorf("server %s: %w", s.name, err)
	}
	return nil
}

// verdict returns what the breaker should know of an exchange: nil when the server works, an error when it
// failed, errNoVerdict when nothing is known. A timeout counts against the server only when the exchange had
// at least half of Options.Timeout: otherwise the time went into waiting, or the caller set a short deadline.
func (s *server) verdict(ctx context.Context, err error, took time.Duration) error {
	_, refused := errors.AsType[*refusal](err)
	late := ctx.Err() == context.DeadlineExceeded && took >= s.opts.Timeout/2
	switch {
	case err == nil || refused:
		return nil
	case ctx.Err() != nil && !late:
		return errNoVerdict
	}
	s.drop()
	return err
}

// talk runs work on an idle connection, or on a new one when there is none or the server has closed it.
func (s *server) talk(ctx context.Context, work func(*gomemcache.Client) error) error {
	if l := s.reuse(); l != nil {
		err := l.exchange(ctx, work)
		gone := l.wasGone()
		s.give(l)
		if !gone || ctx.Err() != nil {
			return err
		}
		s.drop()
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	l := newSession(conn)
	defer s.give(l)
	return l.exchange(ctx, work)
}

// dial connects to the first address that answers.
func (s *server) dial(ctx context.Context) (net.Conn, error) {
	addresses := s.addresses.Load()
	if addresses == nil {
		return nil, errNoAddress
	}
	network := "tcp"
	if isPath(s.name) {
		network = "unix"
	}
	var errs []error
	for _, address := range *addresses {
		conn, err := s.opts.Dial(ctx, network, address)
		if err == nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, ended(ctx)
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// reuse returns the connection that was used last, or nil.
func (s *server) reuse() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.idle) - 1
	if last < 0 {
		return nil
	}
	l := s.idle[last]
	s.idle[last], s.idle = nil, s.idle[:last]
	return l
}

// give returns a connection for reuse, or closes it when it is broken or the server is retired. The caller
// must not use it afterwards.
func (s *server) give(l *session) {
	if l.spoiled || !s.keep(l) {
		l.close()
	}
}

func (s *server) keep(l *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.retired {
		s.idle = append(s.idle, l)
	}
	return !s.retired
}

// drop closes the idle connections, which probably broke together with another one.
func (s *server) drop() {
	s.mu.Lock()
	idle := s.idle
	s.idle = nil
	s.mu.Unlock()
	for _, l := range idle {
		l.close()
	}
}

// retire closes the idle connections now, and those in use when they are returned: the server has left the
// list.
func (s *server) retire() {
	s.mu.Lock()
	if !s.retired {
		s.retired = true
		s.metrics.servers(s.state).Dec()
	}
	s.mu.Unlock()
	s.drop()
}

// becomes counts and logs a new state of the breaker.
func (s *server) becomes(state gobreaker.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired {
		return
	}
	s.metrics.servers(s.state).Dec()
	s.metrics.servers(state).Inc()
	was := s.state
	s.state = state
	switch {
	case state == gobreaker.StateClosed:
		s.opts.Logger.Info("memcache: server is used again", "server", s.name)
	case was == gobreaker.StateClosed:
		s.opts.Logger.Warn("memcache: server failed and is left alone for a while", "server", s.name)
	}
}
