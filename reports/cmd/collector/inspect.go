package main

import (
	"context"
	"fmt"
	"io"

	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/files"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/view"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

var inspectCommand = cli.Command{
	Name:  "inspect",
	Usage: []string{"[--upgrade] [--json] [--max-inflated BYTES] FILE|DIR…"},
	Brief: "shows what is in report files",
	About: `Each report is shown as it was decoded: how large it is, when and by whom it was made, and what its
topologies hold. With --json each is a line of JSON, and nothing else is on standard output. The FILE - is
standard input, whose form is told by what it holds.

` + files.Help,
	Define: func(f *cli.Flags) cli.Action {
		i := &inspector{}
		f.BoolVar(&i.upgrade, "upgrade", false, "first convert reports of old probes to today's form")
		f.BoolVar(&i.json, "json", false, "write JSON, one report a line")
		i.maxInflated = files.DefineMaxInflated(f)
		return i.run
	},
}

// inspector shows report files.
type inspector struct {
	upgrade, json bool
	maxInflated   *cli.Size
	shown         int
}

func (i *inspector) run(ctx context.Context, p *cli.Process, args []string) error {
	b, err := files.Gather(p, args)
	if err != nil {
		return err
	}
	for _, path := range b.Files {
		l, err := i.load(ctx, p, path)
		if ctx.Err() != nil {
			return cli.ErrInterrupted
		}
		if err != nil {
			b.Fail(path, err)
			continue
		}
		if err := i.show(p.Stdout, path, l); err != nil {
			return err
		}
	}
	return b.Err("")
}

func (i *inspector) load(ctx context.Context, p *cli.Process, path string) (*files.Loaded, error) {
	l, err := files.Load(ctx, p.Stdin, path, *i.maxInflated)
	if err != nil || !i.upgrade {
		return l, err
	}
	l.Report, err = report.Upgrade(l.Report)
	return l, err
}

func (i *inspector) show(w io.Writer, path string, l *files.Loaded) error {
	if i.json {
		return view.WriteJSON(w, l.Report)
	}
	if i.shown++; i.shown > 1 {
		if _, err := io.WriteString(w, "\n"); err != nil {
			return err
		}
	}
	plain, err := wire.AppendMsgpack(nil, l.Report)
	if err != nil {
		return err
	}
	size := fmt.Sprintf("%s file, %s msgpack, %s in memory",
		human.Bytes(l.Size), human.Bytes(int64(len(plain))), human.Bytes(report.Size(l.Report)))
	return view.Write(w, path, l.Report, view.Fact{Name: "size", Value: size})
}
