package reports

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// checkTimeout bounds a check, and checkAge is how long what it found is the
// answer to whoever else asks.
const (
	checkTimeout = 2 * time.Second
	checkAge     = time.Second
)

// Check is one condition of being ready, as /readyz asks for it. Many who ask
// share a run, and what it found for a second.
type Check struct {
	// Name is what the line about it begins with, such as "index".
	Name string
	// Run returns nil when the condition holds, within 2 s. An Unready error
	// is shown to whoever asks; of any other they are told only that there is
	// one, and the log tells which.
	Run func(ctx context.Context) error
	// Optional makes a failure a note only.
	Optional bool
}

// Unready is why a condition does not hold, in words that anybody may read.
type Unready string

func (u Unready) Error() string { return string(u) }

// errSlow says that a check took too long.
var errSlow error = Unready(fmt.Sprintf("no answer within %v", checkTimeout))

// StoreChecks returns the checks that an index, an authority and the caches
// before it are reachable. Each reads one thing that is not there; a cache that
// is down makes nobody unready.
func StoreChecks(idx index.Index, authority tiered.Tier, caches []tiered.Cache) []Check {
	checks := []Check{
		{Name: "index", Run: func(ctx context.Context) error {
			_, err := idx.Query(ctx, index.Row{}, 0, 1) // of the first nanosecond of 1970
			return err
		}},
		{Name: "blobs", Run: reading(authority)},
	}
	for _, c := range caches {
		checks = append(checks, Check{Name: "cache " + c.Name, Run: reading(c.Tier), Optional: true})
	}
	return checks
}

// reading checks a tier by the key of a blob that nobody puts.
func reading(tier tiered.Tier) func(context.Context) error {
	keys := []string{index.Row{}.BlobKey(0)}
	return func(ctx context.Context) error {
		_, err := tier.Get(ctx, keys)
		return err
	}
}

// Checks returns what must hold for the collector to be ready: that its stores
// are reachable, and that its first tick has ended.
func (c *Collector) Checks() []Check {
	tick := Check{Name: "first tick", Run: func(context.Context) error {
		if !c.live.Ticked() {
			return Unready("has not ended yet")
		}
		return nil
	}}
	return append(slices.Clone(c.stores), tick)
}

// Checks returns what must hold for the querier to be ready: that its stores are
// reachable, and that it knows a collector.
func (q *Querier) Checks() []Check {
	known := Check{Name: "collectors", Run: func(context.Context) error {
		if len(q.peers.known()) == 0 {
			return Unready("none is known yet")
		}
		return nil
	}}
	return append(slices.Clone(q.stores), known)
}

// checker runs a check for all who ask. The one goroutine that it may have
// ends with the check.
type checker struct {
	Check
	log    *slog.Logger
	flight singleflight.Group

	mu      sync.Mutex // guards what follows
	result  error
	until   time.Time // how long to rely on result
	failing bool      // as was logged
}

// run returns what the check finds, or has just found.
func (c *checker) run(ctx context.Context) error {
	if err, known := c.recent(); known {
		return err
	}
	timer := time.NewTimer(checkTimeout + checkTimeout/20) // a check that obeys its context is given the time to say so
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

func (c *checker) recent() (err error, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.result, time.Now().Before(c.until)
}

// look runs the check, whoever leaves meanwhile, unless one has just ended.
func (c *checker) look() (err error) {
	if err, known := c.recent(); known {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
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

// note keeps what a check found, and logs what changed.
func (c *checker) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result, c.until = err, time.Now().Add(checkAge)
	switch {
	case err != nil && !c.failing:
		level, said := severity(err)
		c.log.Log(context.Background(), level, said, "check", c.Name, "optional", c.Optional, "err", err)
	case err == nil && c.failing:
		c.log.Info("readiness check passes again", "check", c.Name)
	}
	c.failing = err != nil
}

// severity is lower for what is expected, such as a tick that has not ended, of
// which the log does not say that it failed.
func severity(err error) (level slog.Level, message string) {
	if _, expected := errors.AsType[Unready](err); expected && !errors.Is(err, errSlow) {
		return slog.LevelInfo, "not ready yet"
	}
	return slog.LevelWarn, "readiness check failed"
}

// health is whether a handler serves and is ready to.
type health struct {
	checks    []*checker
	withdrawn atomic.Bool
}

func newHealth(checks []Check, log *slog.Logger) *health {
	h := &health{}
	for _, c := range checks {
		h.checks = append(h.checks, &checker{Check: c, log: log})
	}
	return h
}

// Withdraw makes /readyz answer 503 from now on, so that whoever distributes
// requests sends no more of them here. What comes is answered as before.
func (h *Handler) Withdraw() { h.health.withdrawn.Store(true) }

// addHealth adds the paths that say whether the handler serves. They need no
// tenant.
func (h *Handler) addHealth(routes map[string]route) {
	checks := h.opts.Ready
	if checks == nil {
		checks = h.reader.Checks()
	}
	h.health = newHealth(checks, h.opts.Logger)
	for path, f := range map[string]answerer{"/healthz": getHealth, "/readyz": h.getReady} {
		routes[path] = route{strings.TrimPrefix(path, "/"), map[string]answerer{http.MethodGet: f, http.MethodHead: f}}
	}
}

// getHealth answers that the process serves, also while it is shutting down.
func getHealth(w http.ResponseWriter, _ *http.Request) error {
	return say(w, http.StatusOK, "ok")
}

// getReady answers whether requests should be sent here, and why not.
func (h *Handler) getReady(w http.ResponseWriter, r *http.Request) error {
	reasons, notes := h.health.ask(r.Context())
	if len(reasons) > 0 {
		return say(w, http.StatusServiceUnavailable, append(reasons, notes...)...)
	}
	return say(w, http.StatusOK, append([]string{"ready"}, notes...)...)
}

func say(w http.ResponseWriter, status int, lines ...string) error {
	w.Header().Set("Content-Type", mediaText)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, strings.Join(lines, "\n")) // the client may have left
	return nil
}

// ask runs all checks at once and returns why the handler is not ready, and
// what else is to be said.
func (h *health) ask(ctx context.Context) (reasons, notes []string) {
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
		switch said := line(c.Name + ": " + shown(found[i])); {
		case found[i] == nil:
		case c.Optional:
			notes = append(notes, "note: "+said)
		default:
			reasons = append(reasons, said)
		}
	}
	return reasons, notes
}

// shown is what of an error anybody may read.
func shown(err error) string {
	if u, ok := errors.AsType[Unready](err); ok {
		return string(u)
	}
	return "failed: the collector's log says why"
}
