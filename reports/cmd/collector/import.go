package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/files"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

var importCommand = cli.Command{
	Name: "import",
	Usage: []string{
		"[--data DIR] [--tenant ID] [--blob-format FORMAT] [--parallel N] [--max-inflated BYTES] FILE|DIR…",
		"--index URL --blobs URL [--cache URL] [--create] [--tenant ID] … FILE|DIR…",
	},
	Brief: "stores report files under the times in their names",
	About: `A file named 1795332870932684457.msgpack.gz is stored as received at that instant, in Unix nanoseconds.
The directory must not be held by a running collector: stop that, or push to it.

Importing again stores nothing twice: a report that the store holds already is counted as present. Where
another report has the same instant, the following nanoseconds are tried until one is free or holds the
same report. Shortcut reports are never stored; they are counted.

` + files.Help + "\n\n" + stores.Help,
	Define: func(f *cli.Flags) cli.Action {
		i := &importer{tenant: f.Tenant(), into: stores.DefineFlags(f, stores.DefaultDir).DefineCreate(f).DefineFormat(f)}
		f.Exclusive([]string{"data"}, stores.FlagNames)
		f.Must(i.into.Check)
		f.IntVar(&i.parallel, "parallel", 4, "store `N` files at a time")
		i.maxInflated = files.DefineMaxInflated(f)
		f.Must(func() error { return cli.AtLeastOne("parallel", i.parallel) })
		return i.run
	},
}

// maxShift is how many instants import tries for one report.
const maxShift = 1000

// importer stores report files.
type importer struct {
	into        *stores.Place
	tenant      *string
	parallel    int
	maxInflated *cli.Size

	store                              *stores.Store
	stored, present, shortcuts, volume atomic.Int64
}

func (i *importer) run(ctx context.Context, p *cli.Process, args []string) (err error) {
	b, err := files.Gather(p, args)
	if err != nil {
		return err
	}
	i.store, err = i.into.Open(ctx, stores.Options{Logger: telemetry.Warnings(p.Stderr),
		Instead: "post the files to it with \"collector push --to URL\", or stop it"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.store.Close()) }()
	start := time.Now()
	err = i.all(ctx, b)
	fmt.Fprintf(p.Stdout, "imported %s: %s stored (%s), %s present, %s skipped, in %s\n",
		human.Plural(int(i.stored.Load()+i.present.Load()), "report"), human.Count(i.stored.Load()), human.Bytes(i.volume.Load()),
		human.Count(i.present.Load()), human.Plural(int(i.shortcuts.Load()), "shortcut"), human.Duration(time.Since(start)))
	return errors.Join(err, b.Err(""))
}

// all imports the files of a batch.
func (i *importer) all(ctx context.Context, b *files.Batch) error {
	i.store = i.store.Patient(b.P.Warn)
	shown := terminal.StartProgress(b.P.Stderr, "import", "file", len(b.Files))
	defer shown.End()
	var g errgroup.Group
	g.SetLimit(i.parallel)
	for _, path := range b.Files {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			if err := i.one(ctx, b.P, path); err != nil && ctx.Err() == nil {
				b.Fail(path, err)
			}
			shown.Add()
			return nil
		})
	}
	g.Wait()
	if ctx.Err() != nil {
		return cli.ErrInterrupted
	}
	return nil
}

// one imports one file.
func (i *importer) one(ctx context.Context, p *cli.Process, path string) error {
	t, err := files.Time(filepath.Base(path))
	if err != nil {
		return err
	}
	l, err := files.Load(ctx, p.Stdin, path, *i.maxInflated)
	if err != nil {
		return err
	}
	if l.Report.Shortcut {
		i.shortcuts.Add(1)
		return nil
	}
	if err := report.Validate(l.Report); err != nil {
		return err
	}
	encoded, err := i.store.Blobs.Encode(l.Report)
	if err != nil {
		return err
	}
	return i.place(ctx, t, l.Report, encoded)
}

// place stores a report at the first free instant from t on. It stores nothing when it finds the same report
// on the way.
func (i *importer) place(ctx context.Context, t int64, r *report.Report, encoded []byte) error {
	for shift := range min(int64(maxShift), math.MaxInt64-t) { // no range contains the last instant
		row := index.RowAt(*i.tenant, t+shift)
		e := index.Entry{Time: t + shift, Key: row.BlobKey(t + shift), Size: int64(len(encoded)), Sum: blob.SumOf(encoded)}
		err := i.store.Commit(ctx, row, e, encoded)
		if err == nil {
			i.stored.Add(1)
			i.volume.Add(int64(len(encoded)))
			return nil
		}
		if !errors.Is(err, index.ErrExists) {
			return err
		}
		if same, err := i.holds(ctx, row, e, r, encoded); err != nil || same {
			return err
		}
	}
	return fmt.Errorf("its instant and the nanoseconds after it are taken by other reports")
}

// holds reports whether the store has the same report at an instant, and counts that report as present. When
// retention has removed only the entry of the blob, holds adds the entry again.
func (i *importer) holds(ctx context.Context, row index.Row, e index.Entry, r *report.Report, encoded []byte) (bool, error) {
	entries, err := i.store.Index.Query(ctx, row, e.Time, e.Time+1)
	if err != nil {
		return false, err
	}
	indexed := len(entries) > 0
	if indexed {
		e = entries[0]
	}
	stored, err := i.read(ctx, e.Key)
	if err != nil {
		return false, err
	}
	if !indexed {
		e.Size, e.Sum = int64(len(stored)), blob.SumOf(stored)
	} else if err := stores.Check(e, stored); err != nil {
		return false, fmt.Errorf("blob %s: %w", e.Key, err)
	}
	same, err := same(r, encoded, stored)
	if err != nil {
		return false, fmt.Errorf("blob %s: %w", e.Key, err)
	}
	if !same {
		return false, nil
	}
	if !indexed {
		err = i.store.Put(ctx, row, e)
	}
	i.present.Add(1)
	return true, err
}

// read returns the blob under a key.
func (i *importer) read(ctx context.Context, key string) ([]byte, error) {
	found, err := i.store.Authority.Get(ctx, []string{key})
	if err == nil && found[0] == nil {
		err = fmt.Errorf("the store has no blob under %s, which its index names", key)
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// same reports whether a stored blob decodes to a report that is equal to r.
func same(r *report.Report, encoded, stored []byte) (bool, error) {
	if bytes.Equal(stored, encoded) {
		return true, nil
	}
	other, err := stores.Blobs.Decode(stored)
	if err != nil {
		return false, err
	}
	return sameReport(r, other)
}

// sameReport compares two reports by their encodings: equal reports have equal encodings.
func sameReport(a, b *report.Report) (bool, error) {
	x, err := wire.AppendMsgpack(nil, a)
	if err != nil {
		return false, err
	}
	y, err := wire.AppendMsgpack(nil, b)
	return bytes.Equal(x, y), err
}
