package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
)

var checkCommand = cli.Command{
	Name:  "check",
	Usage: []string{"[DIR]"},
	Brief: "reads an embedded store and says what is damaged",
	About: `Every byte is read and compared with its checksum. Each damaged file is named, and each value that is lost
by it with its tenant and time. Nothing is changed. No collector may hold the directory, ` + stores.DefaultDir + ` unless
DIR says otherwise. The exit code is 0 when all is sound, and 1 otherwise.`,
	Define: func(*cli.Flags) cli.Action { return runCheck },
}

func runCheck(ctx context.Context, p *cli.Process, args []string) error {
	dir := stores.DefaultDir
	switch len(args) {
	case 0:
	case 1:
		dir = args[0]
	default:
		return cli.Usagef("check takes one directory")
	}
	warnOfJournal(p, &stores.Place{Data: dir})
	found, err := local.Check(ctx, dir, &local.Options{Logger: telemetry.Warnings(p.Stderr)})
	if err != nil {
		return err
	}
	return tell(p, found, "saves the rest: collector repair --data DIR --to NEWDIR")
}

var repairCommand = cli.Command{
	Name:  "repair",
	Usage: []string{"[--data DIR] --to NEWDIR"},
	Brief: "saves what can be read of a damaged embedded store",
	About: `What can be read is written to a new directory, and the damaged one stays as it is. Each value that is lost is
named with its tenant and time. Values that were removed may come back when the file that says so is damaged.
No collector may hold the directory. To go on, put the new directory in the place of the old one.
The exit code is 0 when the new directory holds all, and 1 when something is lost.`,
	Define: func(f *cli.Flags) cli.Action {
		r := &repairing{}
		f.StringVar(&r.data, "data", stores.DefaultDir, "the `DIR` of the embedded store")
		f.StringVar(&r.to, "to", "", "write what can be read to a new `NEWDIR`")
		f.Must(func() error {
			if r.to == "" {
				return errors.New("give --to")
			}
			return nil
		})
		return r.run
	},
}

// repairing is what a repair is told to do.
type repairing struct{ data, to string }

func (r *repairing) run(ctx context.Context, p *cli.Process, args []string) error {
	if len(args) > 0 {
		return cli.Usagef("%q is no flag: repair takes no arguments", args[0])
	}
	warnOfJournal(p, &stores.Place{Data: r.data})
	found, err := local.Repair(ctx, r.data, r.to, &local.Options{Logger: telemetry.Warnings(p.Stderr)})
	if err != nil {
		return err
	}
	return tell(p, found, "the rest is in "+r.to)
}

// tell says what was found. It returns an error when something is damaged.
func tell(p *cli.Process, found *local.Findings, then string) error {
	for _, d := range found.Damage {
		fmt.Fprintf(p.Stdout, "damaged: %s: %s\n", d.File, d.What)
	}
	for _, l := range found.Lost {
		at := time.Unix(0, l.Entry.Time).UTC().Format(time.RFC3339Nano)
		fmt.Fprintf(p.Stdout, "lost: tenant %q at %s, key %q: %s\n", l.Tenant, at, l.Entry.Key, l.Why)
	}
	fmt.Fprintf(p.Stdout, "%s can be read; %s without a value; %s\n",
		human.Plural(found.Entries, "value"), human.Plural(found.Unnamed, "blob"), human.Plural(found.RollUps, "roll-up"))
	if found.Sound() {
		return nil
	}
	return fmt.Errorf("%s damaged and %s known to be lost; %s", human.Plural(len(found.Damage), "file"), human.Plural(len(found.Lost), "value"), then)
}
