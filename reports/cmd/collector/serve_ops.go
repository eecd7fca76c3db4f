package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"go.opentelemetry.io/otel"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/tlsfiles"
	"github.com/timeblob/timeblob/reports/internal/human"
)

// opsForms is what help says about running a collector.
const opsForms = `/healthz answers 200 as long as the process serves. /readyz does when the stores are reachable and the first tick
has ended, and until the signal to stop; else it answers 503 with a line for each reason. A cache that is down is
only a note. --debug-listen shows the arguments of the process, too: keep secrets in the environment.

` + telemetry.TracingHelp

// operations are the flags of what surrounds the collector.
type operations struct {
	tls      *tlsfiles.Server
	debug    *debugListener
	shutdown time.Duration // all of it
	delay    time.Duration // the part of it between unready and closed

	tracing  telemetry.Tracing
	deadline time.Time // of the shutdown, when it has begun
	hung     bool      // something did not end by then
}

func defineOperations(f *cli.Flags) *operations {
	o := &operations{tls: tlsfiles.DefineServer(f), debug: defineDebug(f)}
	f.DurationVar(&o.shutdown, "shutdown-timeout", 30*time.Second, "end at most a `DURATION` after the signal, stored or not")
	f.DurationVar(&o.delay, "shutdown-delay", 0, "after the signal, serve on for a `DURATION` during which /readyz answers 503, "+
		"so that load balancers notice; it is part of --shutdown-timeout")
	f.Must(o.check)
	return o
}

func (o *operations) check() error {
	switch {
	case o.delay < 0:
		return fmt.Errorf("--shutdown-delay %v: must not be negative", o.delay)
	case o.delay > 0 && o.delay >= o.shutdown/2:
		return fmt.Errorf("--shutdown-delay %v: must be less than half of --shutdown-timeout, to leave time to store what is left", o.delay)
	}
	return cli.Positive("shutdown-timeout", o.shutdown)
}

// begin starts what is there beside the collector.
func (o *operations) begin(ctx context.Context, log *slog.Logger) (err error) {
	if err = o.tls.Read(log); err != nil {
		return err
	}
	if o.tracing, err = telemetry.Start(ctx, log); err != nil {
		return err
	}
	if err = o.debug.start(ctx, log); err != nil {
		return errors.Join(err, o.tracing.Stop(ctx))
	}
	return nil
}

// stop calls f, of which the context ends when a twentieth of the time is left
// for what comes after, and gives it up when no time is.
func (o *operations) stop(f func(context.Context) error) error {
	o.deadline = time.Now().Add(o.shutdown)
	ctx, cancel := context.WithDeadline(context.Background(), o.deadline.Add(-o.shutdown/20))
	defer cancel()
	err := within(o.deadline, func() error { return f(ctx) })
	o.hung = errors.Is(err, errHung)
	return err
}

// end sends the spans that are left, and ends what begin started.
func (o *operations) end() {
	ctx, cancel := context.WithTimeout(context.Background(), min(telemetry.MaxFlush, time.Until(o.last())))
	defer cancel()
	if err := o.tracing.Stop(ctx); err != nil {
		otel.Handle(fmt.Errorf("the last spans were not sent: %w", err))
	}
	o.debug.stop()
}

// close closes a store in the time that is left, unless it hangs.
func (o *operations) close(store func() error) error {
	if o.hung {
		return nil
	}
	return within(o.last(), store)
}

// last is when what is to be done last must be: at the deadline of the shutdown,
// and where one never began, after as long as one may take. Who comes late is
// given a moment.
func (o *operations) last() time.Time {
	if o.deadline.IsZero() {
		return time.Now().Add(o.shutdown)
	}
	if moment := time.Now().Add(max(o.shutdown/40, 100*time.Millisecond)); moment.After(o.deadline) {
		return moment
	}
	return o.deadline
}

// stop ends the server. At once it is not ready any more, and where it was told
// to stop it serves on for --shutdown-delay; then it takes no more reports, ends
// requests and stores what the collector holds.
func (s *server) stop(ctx context.Context, p *cli.Process, listener net.Listener, told bool) error {
	s.handler.Withdraw()
	if told {
		_ = sleep(ctx, s.ops.delay) // the context does not end before
	}
	s.endRequests(ctx, listener)
	err := s.runner.Close(ctx)
	var lost *bucket.UndeliveredError
	if errors.As(err, &lost) {
		for _, v := range lost.Values {
			p.Warn("not stored: tenant %q, instant %d: %v", v.Tenant, v.Time.UnixNano(), v.Err)
		}
		return fmt.Errorf("%s lost", human.Plural(len(lost.Values), "value"))
	}
	return err
}

// endRequests closes the listener and ends connections, half of the time that
// is left at most being given to requests under way. While reports are under
// way, others on connections that are open are told to come again.
func (s *server) endRequests(ctx context.Context, listener net.Listener) {
	end, _ := ctx.Deadline()
	polite, cancel := context.WithTimeout(ctx, time.Until(end)/2)
	defer cancel()
	listener.Close() // its error is Serve's
	err := s.handler.Drain(polite)
	if err == nil {
		err = s.web.Shutdown(polite)
	}
	if err != nil && !errors.Is(err, net.ErrClosed) { // which Shutdown may meet, and goes on
		s.log.Warn("cut off requests that were under way", "error", err)
		s.web.Close()
	}
}

// errHung says that something did not end in time, whatever it was told.
var errHung = errors.New("the store hangs: what it was given last may not be stored")

// within runs f, and gives it up at a deadline.
func within(deadline time.Time, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return errHung
	}
}
