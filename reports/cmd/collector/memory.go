package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/internal/pause"
)

// memoryHelp is the part of help about memory.
const memoryHelp = `When GOMEMLIMIT is not set or empty, the collector takes 80 % of the memory that its cgroup (container, pod or service) may use
as the limit at which Go collects garbage more often, and logs it. GOMEMLIMIT=off turns the limit off.`

// limitMemory sets Go's memory limit to 80 % of the available memory, as reported by available. It changes
// nothing when the memory is not limited or GOMEMLIMIT is set. An empty GOMEMLIMIT counts as not set, as every
// other variable of the command does.
func limitMemory(log *slog.Logger, available func() (uint64, error)) {
	if given := os.Getenv("GOMEMLIMIT"); given != "" {
		log.Info("the memory limit comes from GOMEMLIMIT", "limit", given)
		return
	}
	most, err := available()
	switch {
	case errors.Is(err, memlimit.ErrNoLimit), errors.Is(err, memlimit.ErrNoCgroup), errors.Is(err, memlimit.ErrCgroupsNotSupported):
		log.Info("memory is not limited: set GOMEMLIMIT to limit it")
		return
	case err != nil:
		log.Warn("the memory limit of the cgroup cannot be read: set GOMEMLIMIT instead", "err", err)
		return
	}
	limit := int64(most / 5 * 4)
	debug.SetMemoryLimit(limit)
	log.Info("the memory limit is 80 % of the cgroup's", "limit", human.Bytes(limit), "cgroup", human.Bytes(int64(most)))
}

// While reports have waited longer than fellBehind, which is also when the alert FlushesFallBehind fires, garbage is
// collected when the heap has grown by behindPercent, as GOGC would say. Storing a backlog makes garbage at a multiple
// of the usual rate, and the backlog's keys live meanwhile.
const (
	fellBehind    = 30 * time.Second
	behindPercent = 70
	lookEvery     = 5 * time.Second
)

// saveMemory has garbage collected more often while behind returns more than fellBehind, until ctx ends.
func saveMemory(ctx context.Context, behind func() time.Duration) {
	for pause.For(ctx, lookEvery) == nil {
		if behind() <= fellBehind {
			continue
		}
		usual := debug.SetGCPercent(behindPercent)
		debug.SetGCPercent(min(usual, behindPercent)) // GOGC may say less, or off, which is -1: then GOMEMLIMIT decides
		for behind() > fellBehind && pause.For(ctx, lookEvery) == nil {
		}
		debug.SetGCPercent(usual)
	}
}
