package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
)

var deleteCommand = cli.Command{
	Name: "delete",
	Usage: []string{
		"--data DIR --tenant ID (--start TIME --end TIME | --all) [--yes] [--wait DURATION]",
		"--index URL --blobs URL [--cache URL] --tenant ID (--start … | --all) …",
	},
	Brief: "deletes a tenant's stored reports for good",
	About: `The command shows what it found, and asks before it deletes anything. Without a terminal to answer on it
needs --yes. It deletes everything stored for instants from START on and before END, or everything that is
stored of the tenant. It works on a directory that no running collector holds, or on a table and a bucket.

Entries go first, and their blobs go --wait later, so that questions that have read an entry still find its
blob. Once the entries are gone, no new question finds the reports. Every 100000 entries have a wait of
their own, and a range of more than a year has one more.

The command may be interrupted and repeated, also while collectors write to the table. When it is
interrupted during the wait, blobs without an entry are left: repeat it with the same range to delete them.

Running collectors may still deliver reports of the range which they hold and have not stored yet, and they
answer about the present from memory. To be sure, wait until they have stored the range, or stop them, and
then repeat the command.

` + cli.TimeHelp + "\n\n" + stores.Help,
	Define: func(f *cli.Flags) cli.Action {
		d := &deleting{}
		d.define(f)
		return d.run
	},
}

// deleting holds the flags of a deletion.
type deleting struct {
	place      *stores.Place
	tenant     *string
	start, end *cli.Instant
	all, yes   bool
	wait       time.Duration
	chosen     func(flag string) bool
}

func (d *deleting) define(f *cli.Flags) {
	d.tenant, d.chosen = f.Tenant(), f.Chosen
	d.place = stores.DefineFlags(f, "")
	d.start = f.Instant("start", "delete from this `TIME` on")
	d.end = f.Instant("end", "delete up to, but not including, this `TIME`")
	f.BoolVar(&d.all, "all", false, "delete everything that is stored of the tenant")
	f.BoolVar(&d.yes, "yes", false, "do not ask")
	f.DurationVar(&d.wait, "wait", time.Minute, "keep blobs for this `DURATION` after their entries are gone; longer than the longest question")
	f.Exclusive([]string{"data"}, stores.FlagNames)
	f.Exclusive([]string{"all"}, []string{"start", "end"})
	f.Must(d.place.Check)
	f.Must(d.check)
}

func (d *deleting) check() error {
	switch {
	case d.place.Embedded() && d.place.Data == "":
		return errors.New("give --data, or --index and --blobs")
	case !d.chosen("tenant"):
		return errors.New(`give --tenant; --tenant "" is the one of a collector without tenants`)
	case !d.all && (d.start.Text == "" || d.end.Text == ""):
		return errors.New("give --start and --end, or --all")
	case d.wait < 0:
		return fmt.Errorf("--wait %v: must not be negative", d.wait)
	}
	from, to := d.span()
	if to.Before(from) {
		return errors.New("--end is before --start")
	}
	return errors.Join(cli.InRange(from), cli.InRange(to))
}

// span returns the range to delete.
func (d *deleting) span() (from, to time.Time) {
	if d.all {
		return time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)
	}
	return d.start.Time, d.end.Time
}

func (d *deleting) run(ctx context.Context, p *cli.Process, args []string) (err error) {
	if len(args) > 0 {
		return cli.Usagef("%q is no flag: delete takes no arguments", args[0])
	}
	if !d.yes && !terminal.CanAnswer(p.Stdin) {
		return cli.Usagef("standard input is no terminal to confirm on: give --yes to delete without a question")
	}
	warnOfJournal(p, d.place)
	store, err := d.place.Open(ctx, stores.Options{Logger: telemetry.Warnings(p.Stderr), Existing: true, Instead: "stop it"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	err = d.from(ctx, p, store)
	if err != nil && ctx.Err() != nil {
		return cli.ErrInterrupted
	}
	return err
}

// from deletes from a store.
func (d *deleting) from(ctx context.Context, p *cli.Process, store *stores.Store) error {
	deleter, values, err := store.Deleter(p.Warn)
	if _, cannot := errors.AsType[*bucket.CannotDeleteError](err); cannot {
		return cli.AsUsage(err)
	}
	if err != nil {
		return err
	}
	defer values.Close(ctx) // nothing was put
	from, to := d.span()
	found, err := deleter.Find(ctx, *d.tenant, from, to)
	if err != nil {
		return err
	}
	if err := d.confirm(ctx, p, &found); err != nil {
		return err
	}
	return d.erase(ctx, p, deleter, found.Entries)
}

// confirm shows what was found. It returns an error unless it may be deleted.
func (d *deleting) confirm(ctx context.Context, p *cli.Process, found *bucket.DeleteFound) error {
	if err := d.describe(found).Write(p.Stderr); err != nil || d.yes {
		return err
	}
	yes, err := terminal.Confirm(ctx, p.Stdin, p.Stderr, "Delete this for good?")
	if err == nil && !yes {
		err = errors.New("not confirmed: nothing was deleted")
	}
	return err
}

// describe returns what a deletion will delete.
func (d *deleting) describe(found *bucket.DeleteFound) *terminal.Table {
	tenant, size := fmt.Sprintf("%q", *d.tenant), "not known"
	if *d.tenant == "" {
		tenant = "the default tenant"
	}
	if found.Bytes > 0 {
		size = human.Bytes(found.Bytes) + ", as far as known"
	}
	t := &terminal.Table{Indent: 2}
	t.Row("store", d.place.String())
	t.Row("tenant", tenant)
	t.Row("entries", fmt.Sprint(found.Entries))
	if found.RollUps > 0 {
		t.Row("roll-ups", fmt.Sprintf("%d, %s; those that hold values of the range", found.RollUps, human.Bytes(found.RollUpBytes)))
	}
	if found.Entries == 0 {
		t.Row("blobs", "those without an entry")
		return t
	}
	t.Row("size", size)
	t.Row("first", human.Time(found.First))
	t.Row("last", human.Time(found.Last))
	t.Row("blobs go", fmt.Sprintf("%v after their entries", d.wait))
	return t
}

// deleted says what was deleted.
func deleted(done bucket.Deleted) string {
	s := human.Plural(done.Entries, "value") + " and " + human.Plural(done.Blobs, "blob")
	if done.Orphans > 0 {
		s += fmt.Sprintf(", %d of them without an entry", done.Orphans)
	}
	if done.RollUps > 0 {
		s += ", and " + human.Plural(done.RollUps, "roll-up")
	}
	return s
}

// erase deletes, and says what was deleted also when it fails.
func (d *deleting) erase(ctx context.Context, p *cli.Process, deleter *bucket.Deleter, entries int) error {
	begin := time.Now()
	shown := terminal.StartProgress(p.Stderr, "delete", "step", 2*entries) // an entry, and its blob
	opts := &bucket.DeleteOptions{Wait: d.wait, Progress: func(done bucket.Deleted) { shown.Reach(done.Entries + done.Blobs) }}
	if d.wait == 0 {
		opts.Wait = -1 // none
	}
	from, to := d.span()
	done, err := deleter.Delete(ctx, *d.tenant, from, to, opts)
	shown.End()
	fmt.Fprintf(p.Stdout, "deleted %s, in %s\n", deleted(done), human.Duration(time.Since(begin)))
	if left, ok := errors.AsType[*bucket.BlobsLeftError](err); ok && ctx.Err() != nil {
		p.Warn("%s left without an entry: repeat the command to delete them", human.Plural(len(left.Keys), "blob"))
	}
	return err
}
