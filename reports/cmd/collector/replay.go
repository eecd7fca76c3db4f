package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/journal"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
	"github.com/timeblob/timeblob/reports/report"
)

var replayCommand = cli.Command{
	Name: "replay",
	Usage: []string{
		"[--journal DIR] [--data DIR] [--blob-format FORMAT]",
		"--journal DIR --index URL --blobs URL [--cache URL] [--blob-format FORMAT]",
	},
	Brief: "stores what the journal of a collector that does not come back holds",
	About: `Reports that the collector had acknowledged and not stored are stored once, under the instants that it gave
them; what it had stored already is recognised. No collector may hold the journal, nor the directory of an
embedded store. It may be interrupted and repeated. The exit code is 0 when the journal holds nothing more.

` + stores.Help,
	Define: func(f *cli.Flags) cli.Action {
		r := &replaying{place: stores.DefineFlags(f, stores.DefaultDir).DefineFormat(f)}
		f.Exclusive([]string{"data"}, stores.FlagNames)
		f.Must(r.place.Check)
		f.StringVar(&r.dir, "journal", "", "the `DIR` of the journal; with --data the default is DIR/"+journalName)
		f.Must(func() error {
			if r.dir == "" && !r.place.Embedded() {
				return errors.New("give --journal")
			}
			return nil
		})
		return r.run
	},
}

// remembered is how long the records of a replay stay in the journal, so that a collector which starts with it after all
// recognises posts that clients repeat within a window of up to that.
const remembered = 15 * time.Minute

// replaying is what a replay is told to do.
type replaying struct {
	place *stores.Place
	dir   string

	stored atomic.Int64
}

func (r *replaying) run(ctx context.Context, p *cli.Process, args []string) (err error) {
	if len(args) > 0 {
		return cli.Usagef("%q is no flag: replay takes no arguments", args[0])
	}
	size := cli.Size(4 << 30)
	j := &journaling{dir: r.dir, size: &size}
	if err := isJournal(j.dirOf(r.place)); err != nil {
		return err
	}
	log := telemetry.Warnings(p.Stderr)
	store, err := r.place.Open(ctx, stores.Options{Logger: log, Existing: true, Instead: "stop it"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := j.start(r.place, remembered, prometheus.NewRegistry(), log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	if err := j.resumes(r.place, store, log); err != nil {
		return err
	}
	j.takes(store, log)
	c, err := reports.New(store.Index, store.Authority, &reports.Options{
		Live: bucket.CollectorOptions[*report.Report]{Alone: r.place.Embedded(), Committer: store.Committer, Journal: j.bucket(),
			Window: 15 * time.Second, Stored: func(string, index.Entry, int) { r.stored.Add(1) }},
		MaxInflated: store.Blobs.MaxBytes, BlobFormat: store.Blobs.Format, Logger: log,
	})
	if err != nil {
		return err
	}
	err = c.Close(ctx)
	fmt.Fprintf(p.Stdout, "stored %s\n", human.Plural(int(r.stored.Load()), "value"))
	return err
}

// isJournal returns an error for a directory that is no journal, so that a wrong name does not pass for a journal with nothing
// to store.
func isJournal(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return stores.Named("--journal", err)
	}
	if !journal.Exists(dir) {
		return fmt.Errorf("--journal %s: it is no journal", dir)
	}
	return nil
}
