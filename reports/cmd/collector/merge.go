package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/timeblob/timeblob/reports/report"
)

var mergeCommand = command{
	name:  "merge",
	usage: []string{"[-o FILE] [--json] [--keep-going] FILE|DIR…"},
	brief: "merges report files into one",
	about: `Each report is brought to the form of today (as inspect --upgrade does) and merged with those before it.
The result is shown as a table, or written as JSON with --json, or to a file with -o. When a file cannot be
read, nothing is written unless --keep-going is given. The FILE - is standard input.

` + fileForms,
	define: func(f *flags) action {
		m := &mergeJob{}
		f.StringVar(&m.output, "o", "", "write the merge to `FILE`, in the form that its ending names: "+strings.Join(endings, ", "))
		f.BoolVar(&m.json, "json", false, "write the merge as JSON to standard output")
		f.BoolVar(&m.keepGoing, "keep-going", false, "leave out files that cannot be read")
		m.maxInflated = f.maxInflated()
		f.must(m.check)
		return m.run
	},
}

// mergeJob merges report files.
type mergeJob struct {
	output          string
	json, keepGoing bool
	maxInflated     *size
}

func (m *mergeJob) check() error {
	if m.output != "" && ending(m.output) == "" {
		return fmt.Errorf("-o %s: the name must end in one of %s", m.output, strings.Join(endings, ", "))
	}
	return nil
}

func (m *mergeJob) run(ctx context.Context, p *process, args []string) error {
	b, err := p.gather(args)
	if err != nil {
		return err
	}
	s := &sum{}
	for _, path := range b.files {
		if ctx.Err() != nil {
			return errInterrupted
		}
		if err := s.addFile(p, path, *m.maxInflated); err != nil {
			b.fail(path, err)
		}
	}
	failed := b.err("")
	if failed != nil && (s.count == 0 || !m.keepGoing) {
		return fmt.Errorf("%w, nothing was written (--keep-going merges the others)", failed)
	}
	return errors.Join(m.write(p, s), failed)
}

func (m *mergeJob) write(p *process, s *sum) error {
	r, err := s.total()
	if err != nil {
		return err
	}
	if m.output != "" {
		if err := writeFile(m.output, r); err != nil {
			return err
		}
	}
	switch {
	case m.json:
		return writeJSON(p.stdout, r)
	case m.output == "":
		return writeView(p.stdout, "", r, s.facts()...)
	}
	return nil
}

// A sum folds when it holds that many reports, or that many bytes of them in
// memory.
const (
	foldReports = 64
	foldBytes   = 256 << 20
)

// sum merges any number of reports in bounded memory: what the merge holds
// and a few reports more.
type sum struct {
	merged    *report.Report // nil before the first fold
	parts     []*report.Report
	bytes     int64 // of the parts in memory
	ids       strings.Builder
	count     int
	conflicts int
}

// addFile upgrades and adds the report in a file.
func (s *sum) addFile(p *process, path string, limit size) error {
	l, err := p.load(path, limit)
	if err != nil {
		return err
	}
	r, err := report.Upgrade(l.report)
	if err != nil {
		return err
	}
	return s.add(r)
}

func (s *sum) add(r *report.Report) error {
	s.parts = append(s.parts, r)
	s.bytes += report.Size(r)
	s.ids.WriteString(r.ID)
	s.count++
	if len(s.parts) < foldReports && s.bytes < foldBytes {
		return nil
	}
	return s.fold()
}

// fold merges the parts.
func (s *sum) fold() error {
	parts := s.parts
	if s.merged != nil {
		parts = append(parts, s.merged)
	}
	merged, stats, err := report.MergeWithStats(parts)
	if err != nil {
		return err
	}
	s.merged, s.conflicts = merged, stats.Conflicts
	s.parts, s.bytes = nil, 0
	return nil
}

// total returns the merge of all that was added, under the ID that it has when
// merged in one step: a merge's ID hashes the IDs of its parts one after the
// other, so one part with all of them gives the same.
func (s *sum) total() (*report.Report, error) {
	if err := s.fold(); err != nil {
		return nil, err
	}
	named, err := report.Merge([]*report.Report{{ID: s.ids.String()}})
	if err != nil {
		return nil, err
	}
	total := *s.merged
	total.ID = named.ID
	return &total, nil
}

func (s *sum) facts() []fact {
	facts := []fact{{"reports", fmt.Sprintf("%d merged", s.count)}}
	if s.conflicts > 0 {
		facts = append(facts, fact{"conflicts", plural(s.conflicts, "node") + " that probes take for different things"})
	}
	return facts
}
