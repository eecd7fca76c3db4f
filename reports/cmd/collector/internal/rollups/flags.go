// Package rollups defines the flags of roll-ups, which several subcommands share.
package rollups

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
)

// Forms is what help says about roll-ups.
const Forms = `Merges of whole minutes, hours and days are stored as roll-ups, so that a question about a week reads few
blobs and stays exact. With --rollup asked they are built for tenants that somebody asked about in the last
24 hours, with all for every tenant, and with off for none; roll-ups that are there are used in any case. On a
table that others write, give --rollup-shared once every collector runs a version that knows roll-ups and
Scope's own store nothing older than --rollup-lateness. "collector rollup" builds what is missing.`

// Flags are the flags of roll-ups.
type Flags struct {
	build    bucket.BuildMode
	shared   bool
	spans    cli.Spans
	lateness time.Duration
	cores    int
	chosen   func(flag string) bool
}

// Define defines the flags that say how roll-ups are made.
func Define(f *cli.Flags) *Flags {
	l := &Flags{build: bucket.BuildAsked, spans: cli.Spans{time.Minute, time.Hour, 24 * time.Hour}, chosen: f.Chosen}
	f.Var(&l.spans, "rollup-spans", "make roll-ups of spans of these `DURATIONS`, each a multiple of the one before")
	f.DurationVar(&l.lateness, "rollup-lateness", 10*time.Minute, "roll a span up when it ended a `DURATION` ago")
	f.BoolVar(&l.shared, "rollup-shared", false, "every process that writes the table knows roll-ups, or stores nothing older "+
		"than --rollup-lateness")
	return l
}

// DefineBuilder defines the flags of who builds roll-ups while a server runs.
func (l *Flags) DefineBuilder(f *cli.Flags) {
	f.Func("rollup", "build roll-ups of tenants that are asked about (asked), of all tenants (all) or of none (off): the `MODE` (default asked)",
		func(text string) error { l.build = bucket.BuildMode(text); return l.checkMode() })
	f.IntVar(&l.cores, "rollup-cores", 1, "build up to `N` roll-ups at a time")
	f.Must(func() error { return cli.AtLeastOne("rollup-cores", l.cores) })
}

func (l *Flags) checkMode() error {
	switch l.build {
	case bucket.BuildAsked, bucket.BuildAll, bucket.BuildOff:
		return nil
	}
	return errors.New("must be asked, all or off")
}

// Check compares the flags with the store and with what is to be kept.
func (l *Flags) Check(embedded bool, keep cli.Retention) error {
	switch {
	case l.lateness <= 0:
		return cli.Positive("rollup-lateness", l.lateness)
	case l.shared && embedded:
		return errors.New("--rollup-shared is for a table: a directory has one writer")
	case !l.On(embedded) && l.build != bucket.BuildOff && l.chosen("rollup"):
		return fmt.Errorf("--rollup %s on a table needs --rollup-shared", l.build)
	}
	for _, k := range keep {
		if k.Level != 0 && !l.On(embedded) {
			return errors.New("--retention of levels needs roll-ups: give --rollup-shared")
		}
		if k.Level != 0 && embedded && l.build == bucket.BuildOff {
			return errors.New("--retention of levels needs roll-ups: --rollup must not be off")
		}
		if k.Level != 0 && !l.spans.Has(k.Level) {
			return fmt.Errorf("--retention: no roll-ups have spans of %v: --rollup-spans are %s", k.Level, l.spans.String())
		}
	}
	return nil
}

// On reports whether roll-ups may be built.
func (l *Flags) On(embedded bool) bool { return embedded || l.shared }

// grace is how much longer than --retention says reports stay, where roll-ups outlive
// them. A table forgets a report at a time that was set when it was stored, so a builder
// may be away for a day. A directory waits for its builder.
func grace(embedded bool, keep cli.Retention) time.Duration {
	switch {
	case !keep.Outlives():
		return 0
	case embedded:
		return time.Hour
	}
	return 24 * time.Hour
}

// Stored returns how long a store must keep reports.
func Stored(embedded bool, keep cli.Retention) time.Duration {
	return keep.Raw() + grace(embedded, keep)
}

// Options returns the options of levels, nil where roll-ups may not be built.
// Stored is how long the store keeps reports; 0 for ever. Without retention the
// index's stays as it is, unless --retention 0 ends it.
func (l *Flags) Options(embedded bool, keep cli.Retention, stored time.Duration) *bucket.LevelOptions {
	if !l.On(embedded) {
		return nil
	}
	if len(keep) == 0 && (stored > 0 || l.chosen("retention")) {
		keep = cli.Retention{{For: stored}}
	}
	o := &bucket.LevelOptions{Spans: l.spans, Lateness: l.lateness, Build: l.build, Cores: l.cores, Owned: embedded, AllKnow: l.shared,
		Grace: grace(embedded, keep)}
	for _, k := range keep {
		o.Retention = append(o.Retention, bucket.Retention{Level: k.Level, Keep: k.For})
	}
	return o
}

// Explain names the flags to give where a store's roll-ups have other spans.
func (l *Flags) Explain(err error) error {
	other, ok := errors.AsType[*bucket.OtherLevelsError](err)
	if !ok || slices.Equal(other.Spans, l.spans) && other.Lateness == l.lateness {
		return err
	}
	spans := cli.Spans(other.Spans)
	return fmt.Errorf("the store has roll-ups of other spans: give --rollup-spans %s --rollup-lateness %v", spans.String(), other.Lateness)
}
