package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/files"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/merged"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/view"
	"github.com/timeblob/timeblob/reports/report"
)

var mergeCommand = cli.Command{
	Name:  "merge",
	Usage: []string{"[-o FILE] [--json] [--keep-going] [--max-inflated BYTES] FILE|DIR…"},
	Brief: "merges report files into one",
	About: `Each report is brought to the form of today (as inspect --upgrade does) and merged with those before it.
The result is shown as a table, or written as JSON with --json, or to a file with -o. When a file cannot be
read, nothing is written unless --keep-going is given. The FILE - is standard input.

` + files.Help,
	Define: func(f *cli.Flags) cli.Action {
		m := &mergeJob{}
		f.StringVar(&m.output, "o", "", "write the merge to `FILE`, in the form that its ending names: "+strings.Join(files.Endings, ", "))
		f.BoolVar(&m.json, "json", false, "write the merge as JSON to standard output")
		f.BoolVar(&m.keepGoing, "keep-going", false, "leave out files that cannot be read")
		m.maxInflated = files.DefineMaxInflated(f)
		f.Must(m.check)
		return m.run
	},
}

// mergeJob merges report files into one report.
type mergeJob struct {
	output          string
	json, keepGoing bool
	maxInflated     *cli.Size
}

func (m *mergeJob) check() error {
	if m.output != "" && files.Ending(m.output) == "" {
		return fmt.Errorf("-o %s: the name must end in one of %s", m.output, strings.Join(files.Endings, ", "))
	}
	return nil
}

func (m *mergeJob) run(ctx context.Context, p *cli.Process, args []string) error {
	b, err := files.Gather(p, args)
	if err != nil {
		return err
	}
	s := &merged.Sum{}
	for _, path := range b.Files {
		err := addFile(ctx, s, p.Stdin, path, *m.maxInflated)
		if ctx.Err() != nil {
			return cli.ErrInterrupted
		}
		if err != nil {
			b.Fail(path, err)
		}
	}
	failed := b.Err("")
	if failed != nil && (s.Count == 0 || !m.keepGoing) {
		return fmt.Errorf("%w, nothing was written (--keep-going merges the others)", failed)
	}
	return errors.Join(m.write(p, s), failed)
}

func (m *mergeJob) write(p *cli.Process, s *merged.Sum) error {
	r, err := s.Total()
	if err != nil {
		return err
	}
	if m.output != "" {
		if err := files.Write(m.output, r); err != nil {
			return err
		}
	}
	switch {
	case m.json:
		return view.WriteJSON(p.Stdout, r)
	case m.output == "":
		return view.Write(p.Stdout, "", r, sumFacts(s)...)
	}
	return nil
}

// addFile upgrades the report in a file and adds it to the sum.
func addFile(ctx context.Context, s *merged.Sum, stdin io.Reader, path string, limit cli.Size) error {
	l, err := files.Load(ctx, stdin, path, limit)
	if err != nil {
		return err
	}
	r, err := report.Upgrade(l.Report)
	if err != nil {
		return err
	}
	return s.Add(r)
}

func sumFacts(s *merged.Sum) []view.Fact {
	facts := []view.Fact{{Name: "reports", Value: fmt.Sprintf("%d merged", s.Count)}}
	if s.Conflicts > 0 {
		facts = append(facts, view.Fact{Name: "conflicts", Value: human.Plural(s.Conflicts, "node") + " that probes take for different things"})
	}
	return facts
}
