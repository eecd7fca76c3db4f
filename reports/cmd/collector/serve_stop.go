package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/internal/pause"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
)

// stop ends the server. The server is not ready from now on. After a signal it serves on for
// --shutdown-delay. Then it accepts no more reports, ends requests and stores what the collector holds.
func (s *server) stop(ctx context.Context, p *cli.Process, listener net.Listener, told bool) error {
	s.handler.Withdraw()
	if told {
		_ = pause.For(ctx, s.ops.delay) // ctx does not end before
	}
	s.endRequests(ctx, listener)
	err := s.runner.Close(ctx)
	var lost *bucket.UndeliveredError
	if errors.As(err, &lost) {
		tellUndelivered(p, lost.Values)
		return fmt.Errorf("%s %s", human.Plural(len(lost.Values), "value"), s.journal.keeps())
	}
	return err
}

// mostTold is how many values that were not stored are named at the end.
const mostTold = 20

func tellUndelivered(p *cli.Process, values []bucket.Undelivered) {
	for _, v := range values[:min(len(values), mostTold)] {
		if v.Err == nil {
			v.Err = errors.New("its turn had not come")
		}
		p.Warn("not stored: tenant %q, instant %d: %v", v.Tenant, v.Time.UnixNano(), v.Err)
	}
	if more := len(values) - mostTold; more > 0 {
		p.Warn("not stored: %s more", human.Plural(more, "value"))
	}
}

// endRequests closes the listener and waits for requests under way, for at most half of the remaining time.
// Meanwhile new requests on open connections are refused and told to retry. Then endRequests closes the
// connections.
func (s *server) endRequests(ctx context.Context, listener net.Listener) {
	end, _ := ctx.Deadline()
	polite, cancel := context.WithTimeout(ctx, time.Until(end)/2)
	defer cancel()
	listener.Close() // Serve returns the error
	err := s.handler.Drain(polite)
	if err == nil {
		err = s.web.Shutdown(polite)
	}
	if err != nil && !errors.Is(err, net.ErrClosed) { // Shutdown may return ErrClosed and go on
		s.log.Warn("cut off requests that were under way", "err", err)
		s.web.Close()
	}
}

// serve answers requests until ctx ends or serving fails. Then it stores what the collector still holds.
func (s *server) serve(ctx context.Context, p *cli.Process, listener net.Listener) error {
	defer s.tenancy.watch(ctx)()
	if s.behind != nil {
		go saveMemory(ctx, s.behind)
	}
	running := make(chan error, 2)
	go func() { running <- s.runner.Run(context.WithoutCancel(ctx)) }()
	go func() { running <- s.ops.tls.Serve(s.web, listener) }()
	s.log.Info("serving", "role", string(s.role.role), "address", listener.Addr().String(), "store", s.place.String())
	var failed error
	left := 2
	select {
	case <-ctx.Done():
		s.log.Info("stopping: storing what is left")
	case failed = <-running:
		left--
	}
	err := errors.Join(failed, s.ops.stop(func(ctx context.Context) error {
		err := s.stop(ctx, p, listener, left == 2)
		for range left {
			if e := <-running; !closed(e) {
				err = errors.Join(err, e)
			}
		}
		return err
	}))
	s.log.Info("stopped", "values_stored", s.stored.Load())
	return err
}

// closed reports whether an error only says that the server was stopped, perhaps before it had started.
func closed(err error) bool {
	return errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) || errors.Is(err, bucket.ErrClosed)
}
