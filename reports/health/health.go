// Package health tells whether a service is ready, by checks that many callers
// share.
package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/timeblob/timeblob/internal/human"
)

// Timeout bounds one run of a check. MaxAge is how long its result answers other
// callers.
const (
	Timeout = 2 * time.Second
	MaxAge  = time.Second
)

// Check is one condition of being ready. Callers share one run, and its result
// for MaxAge.
type Check struct {
	// Name begins the line about the check, such as "index".
	Name string
	// Run returns nil when the condition holds. It has Timeout. An Unready error
	// is shown to every caller; any other error is only logged, and callers learn
	// that the check failed.
	Run func(ctx context.Context) error
	// Optional makes a failure a note, which leaves the service ready.
	Optional bool
}

// Unready says why a condition does not hold, in words that anybody may read.
type Unready string

func (u Unready) Error() string { return string(u) }

// errSlow is the result of a check that took too long.
var errSlow error = Unready(fmt.Sprintf("no answer within %v", Timeout))

// checker runs a check for all callers. It has at most one goroutine, which ends
// with the check.
type checker struct {
	Check
	log    *slog.Logger
	flight singleflight.Group

	mu      sync.Mutex // guards the fields below
	result  error
	until   time.Time // when result becomes too old
	failing bool      // the last state that was logged
}

// run returns the result of the check, or its last one if that is recent.
func (c *checker) run(ctx context.Context) error {
	if err, known := c.recent(); known {
		return err
	}
	timer := time.NewTimer(Timeout + Timeout/20) // a check that obeys its context has the time to return
	defer timer.Stop()
	select {
	case found := <-c.flight.DoChan("", func() (any, error) { return nil, c.look() }):
		return found.Err
	case <-timer.C:
		c.note(errSlow)
		return errSlow
	case <-ctx.Done():
		return errSlow
	}
}

// recent returns the last result, if it is recent.
func (c *checker) recent() (err error, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.result, time.Now().Before(c.until)
}

// look runs the check unless there is a recent result. It goes on when its caller
// leaves.
func (c *checker) look() (err error) {
	if err, known := c.recent(); known {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("the check panicked: %v", cause)
		}
		c.note(err)
	}()
	if err = c.Run(ctx); err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", errSlow, err)
	}
	return err
}

// note keeps a result, and logs a change of state.
func (c *checker) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result, c.until = err, time.Now().Add(MaxAge)
	switch {
	case err != nil && !c.failing:
		level, message := severity(err)
		c.log.Log(context.Background(), level, message, "check", c.Name, "optional", c.Optional, "err", err)
	case err == nil && c.failing:
		c.log.Info("readiness check passes again", "check", c.Name)
	}
	c.failing = err != nil
}

// severity returns how to log a failed check. A condition that is expected not to
// hold for a while, such as a first tick that has not ended, is no warning.
func severity(err error) (level slog.Level, message string) {
	if _, expected := errors.AsType[Unready](err); expected && !errors.Is(err, errSlow) {
		return slog.LevelInfo, "not ready yet"
	}
	return slog.LevelWarn, "readiness check failed"
}

// Status tells whether a service is ready. It is safe for concurrent use.
type Status struct {
	checks    []*checker
	withdrawn atomic.Bool
}

// New returns the status by checks. Changes are logged to log.
func New(checks []Check, log *slog.Logger) *Status {
	h := &Status{}
	for _, c := range checks {
		h.checks = append(h.checks, &checker{Check: c, log: log})
	}
	return h
}

// Withdraw makes Ask say that the service is shutting down, whatever the checks
// find.
func (h *Status) Withdraw() { h.withdrawn.Store(true) }

// Ask runs all checks in parallel. It returns why the service is not ready, one
// line for each failed check and none when the service is ready, and notes about
// optional checks.
func (h *Status) Ask(ctx context.Context) (reasons, notes []string) {
	if h.withdrawn.Load() {
		return []string{"shutting down"}, nil
	}
	found := make([]error, len(h.checks))
	var wg sync.WaitGroup
	for i, c := range h.checks {
		wg.Go(func() { found[i] = c.run(ctx) })
	}
	wg.Wait()
	for i, c := range h.checks {
		switch text := human.Line(c.Name + ": " + shown(found[i])); {
		case found[i] == nil:
		case c.Optional:
			notes = append(notes, "note: "+text)
		default:
			reasons = append(reasons, text)
		}
	}
	return reasons, notes
}

// shown returns the part of an error that anybody may read.
func shown(err error) string {
	if u, ok := errors.AsType[Unready](err); ok {
		return string(u)
	}
	return "failed: the collector's log says why"
}
