package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/tlsfiles"
)

// opsForms is the part of help about running a collector.
const opsForms = `/healthz answers 200 as long as the process serves. /readyz does when the stores are reachable, the first tick has
ended and the journal has room, and until the signal to stop; else it answers 503 with a line for each reason. A
cache that is down is only a note. --debug-listen shows the arguments of the process, too: keep secrets in the
environment.

` + telemetry.TracingHelp

// operations holds the flags for health, shutdown, logs and traces.
type operations struct {
	tls      *tlsfiles.Server
	debug    *debugListener
	shutdown time.Duration // the time for the whole shutdown
	delay    time.Duration // its first part: not ready, but still serving

	tracing  telemetry.Tracing
	deadline time.Time // the end of the shutdown; zero before it begins
	hung     bool      // something did not end before the deadline
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

// begin starts what runs beside the collector.
func (o *operations) begin(ctx context.Context, log *slog.Logger) (err error) {
	if o.tracing, err = telemetry.Start(ctx, log); err != nil {
		return err
	}
	o.debug.start(log)
	return nil
}

// stop calls f with a context that ends when a twentieth of the time is left, which is for later steps. At
// the deadline stop returns even if f has not.
func (o *operations) stop(f func(context.Context) error) error {
	o.deadline = time.Now().Add(o.shutdown)
	ctx, cancel := context.WithDeadline(context.Background(), o.deadline.Add(-o.shutdown/20))
	defer cancel()
	err := within(o.deadline, func() error { return f(ctx) })
	o.hung = errors.Is(err, errHung)
	return err
}

// end sends the remaining spans and stops what begin started.
func (o *operations) end() {
	ctx, cancel := context.WithTimeout(context.Background(), min(telemetry.MaxFlush, time.Until(o.last())))
	defer cancel()
	if err := o.tracing.Stop(ctx); err != nil {
		otel.Handle(fmt.Errorf("the last spans were not sent: %w", err))
	}
	o.debug.stop()
}

// close closes a store in the remaining time. It returns at the deadline even if the store hangs.
func (o *operations) close(store func() error) error {
	if o.hung {
		return nil
	}
	return within(o.last(), store)
}

// last returns the deadline for the last step: the end of the shutdown or, when none has begun, as long a
// time from now. A deadline in the past is moved to a moment from now.
func (o *operations) last() time.Time {
	if o.deadline.IsZero() {
		return time.Now().Add(o.shutdown)
	}
	if moment := time.Now().Add(max(o.shutdown/40, 100*time.Millisecond)); moment.After(o.deadline) {
		return moment
	}
	return o.deadline
}

// errHung says that a store did not end in time although its context ended.
var errHung = errors.New("the store hangs: the last values may not be stored")

// within runs f and stops waiting for it at a deadline.
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
