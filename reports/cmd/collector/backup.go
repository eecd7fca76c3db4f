package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/backup"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
)

var backupCommand = cli.Command{
	Name:  "backup",
	Usage: []string{"[--data DIR] --to DIR"},
	Brief: "copies an embedded store while a collector runs on it",
	About: `The copy holds all that was stored before. A running collector writes it itself, so its user must be able
to write there; when none runs, this command writes it. The directory of the copy must not exist. On the
same file system large files are hard links: that takes no time and no room, but it does not protect from a
failing disk, so give a directory on another one, or copy it on with a tool of your choice.

To go back, stop the collector, put the copy in the place of its directory, and start it again:
a copy is an embedded store like any other. "collector check" reads a copy and says whether it is whole.`,
	Define: func(f *cli.Flags) cli.Action {
		b := &backingUp{}
		f.StringVar(&b.data, "data", stores.DefaultDir, "the `DIR` of the embedded store")
		f.StringVar(&b.to, "to", "", "write the copy to a new `DIR`")
		f.Must(func() error {
			if b.to == "" {
				return errors.New("give --to")
			}
			return nil
		})
		return b.run
	},
}

// backingUp is what a backup is told to do.
type backingUp struct{ data, to string }

func (b *backingUp) run(ctx context.Context, p *cli.Process, args []string) (err error) {
	if len(args) > 0 {
		return cli.Usagef("%q is no flag: backup takes no arguments", args[0])
	}
	err = backup.Ask(ctx, b.data, b.to)
	if errors.Is(err, backup.ErrNobody) {
		err = b.write(ctx, p)
	}
	if err != nil {
		return err
	}
	to, err := filepath.Abs(b.to)
	fmt.Fprintf(p.Stdout, "backed up to %s\n", to)
	return err
}

// write opens the store and writes the copy.
func (b *backingUp) write(ctx context.Context, p *cli.Process) (err error) {
	place := &stores.Place{Data: b.data}
	warnOfJournal(p, place)
	store, err := place.Open(ctx, stores.Options{Logger: telemetry.Warnings(p.Stderr), Existing: true, Instead: "stop it"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return store.Backup(ctx, b.to)
}
