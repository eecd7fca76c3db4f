package main

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// TestLimitMemory checks that the memory limit comes from the environment or else from the cgroup, and is
// logged.
func TestLimitMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	for name, c := range map[string]struct {
		given     string
		empty     bool // GOMEMLIMIT is set to nothing
		available uint64
		err       error
		want      int64
		said      string
	}{
		"a cgroup's limit": {available: 10 << 30, want: 8 << 30, said: `limit="8.0 GiB" cgroup="10.0 GiB"`},
		"no limit":         {err: memlimit.ErrNoLimit, want: math.MaxInt64, said: "memory is not limited"},
		"not readable":     {err: errors.New("broken"), want: math.MaxInt64, said: "err=broken"},
		"given":            {given: "3GiB", available: 10 << 30, want: math.MaxInt64, said: "limit=3GiB"},
		"given as nothing": {empty: true, available: 10 << 30, want: 8 << 30, said: `limit="8.0 GiB" cgroup="10.0 GiB"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", c.given)
			if c.given == "" && !c.empty {
				os.Unsetenv("GOMEMLIMIT")
			}
			debug.SetMemoryLimit(math.MaxInt64)
			var said buffer
			limitMemory(slog.New(slog.NewTextHandler(&said, nil)), func() (uint64, error) { return c.available, c.err })
			if got := debug.SetMemoryLimit(-1); got != c.want || !strings.Contains(said.String(), c.said) {
				t.Errorf("limit %d, want %d; said %s", got, c.want, said.String())
			}
		})
	}
}

// TestSaveMemory has reports wait, and be stored. Garbage is collected more often in between, unless GOGC says less.
func TestSaveMemory(t *testing.T) {
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	percent := func() int {
		p := debug.SetGCPercent(100)
		debug.SetGCPercent(p)
		return p
	}
	for usual, want := range map[int]int{100: behindPercent, 200: behindPercent, 50: 50, -1: -1} {
		synctest.Test(t, func(t *testing.T) {
			debug.SetGCPercent(usual)
			var behind atomic.Int64
			ctx, cancel := context.WithCancel(t.Context())
			go saveMemory(ctx, func() time.Duration { return time.Duration(behind.Load()) })
			for _, step := range []struct {
				behind time.Duration
				want   int
			}{{0, usual}, {fellBehind, usual}, {fellBehind + 1, want}, {time.Hour, want}, {time.Second, usual}, {time.Hour, want}} {
				behind.Store(int64(step.behind))
				time.Sleep(2 * lookEvery)
				synctest.Wait()
				if got := percent(); got != step.want {
					t.Errorf("GOGC %d, behind %v: %d, want %d", usual, step.behind, got, step.want)
				}
			}
			cancel()
			synctest.Wait()
			if got := percent(); got != usual {
				t.Errorf("at the end %d, want %d", got, usual)
			}
		})
	}
}
