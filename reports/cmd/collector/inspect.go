package main

import (
	"context"
	"fmt"
	"io"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

var inspectCommand = command{
	name:  "inspect",
	usage: []string{"[--upgrade] [--json] FILE|DIR…"},
	brief: "shows what is in report files",
	about: `Each report is shown as it was decoded: how large it is, when and by whom it was made, and what its
topologies hold. With --json each is a line of JSON, and nothing else is on standard output. The FILE - is
standard input, whose form is told by what it holds.

` + fileForms,
	define: func(f *flags) action {
		i := &inspector{}
		f.BoolVar(&i.upgrade, "upgrade", false, "bring reports of old probes to the form of today first")
		f.BoolVar(&i.json, "json", false, "write JSON, one report a line")
		i.maxInflated = f.maxInflated()
		return i.run
	},
}

// inspector shows report files.
type inspector struct {
	upgrade, json bool
	maxInflated   *size
	shown         int
}

func (i *inspector) run(ctx context.Context, p *process, args []string) error {
	b, err := p.gather(args)
	if err != nil {
		return err
	}
	for _, path := range b.files {
		if err := ctx.Err(); err != nil {
			return errInterrupted
		}
		l, err := i.load(p, path)
		if err != nil {
			b.fail(path, err)
			continue
		}
		if err := i.show(p.stdout, path, l); err != nil {
			return err
		}
	}
	return b.err("")
}

func (i *inspector) load(p *process, path string) (*loaded, error) {
	l, err := p.load(path, *i.maxInflated)
	if err != nil || !i.upgrade {
		return l, err
	}
	l.report, err = report.Upgrade(l.report)
	return l, err
}

func (i *inspector) show(w io.Writer, path string, l *loaded) error {
	if i.json {
		return writeJSON(w, l.report)
	}
	if i.shown++; i.shown > 1 {
		if _, err := io.WriteString(w, "\n"); err != nil {
			return err
		}
	}
	plain, err := wire.AppendMsgpack(nil, l.report)
	if err != nil {
		return err
	}
	size := fmt.Sprintf("%s file, %s msgpack, %s in memory",
		humanBytes(l.size), humanBytes(int64(len(plain))), humanBytes(report.Size(l.report)))
	return writeView(w, path, l.report, fact{"size", size})
}
