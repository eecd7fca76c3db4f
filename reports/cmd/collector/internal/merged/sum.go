package merged

import (
	"strings"

	"github.com/timeblob/timeblob/reports/report"
)

// A sum folds when it holds that many reports, or that many bytes of them in
// memory.
const (
	foldReports = 64
	foldBytes   = 256 << 20
)

// Sum merges any number of reports in bounded memory: what the merge holds
// and a few reports more.
type Sum struct {
	merged    *report.Report // nil before the first fold
	parts     []*report.Report
	bytes     int64 // of the parts in memory
	ids       strings.Builder
	Count     int
	Conflicts int
}

func (s *Sum) Add(r *report.Report) error {
	s.parts = append(s.parts, r)
	s.bytes += report.Size(r)
	s.ids.WriteString(r.ID)
	s.Count++
	if len(s.parts) < foldReports && s.bytes < foldBytes {
		return nil
	}
	return s.fold()
}

// fold merges the parts.
func (s *Sum) fold() error {
	parts := s.parts
	if s.merged != nil {
		parts = append(parts, s.merged)
	}
	merged, stats, err := report.MergeWithStats(parts)
	if err != nil {
		return err
	}
	s.merged, s.Conflicts = merged, stats.Conflicts
	s.parts, s.bytes = nil, 0
	return nil
}

// Total returns the merge of all that was added, under the ID that it has when
// merged in one step: a merge's ID hashes the IDs of its parts one after the
// other, so one part with all of them gives the same.
func (s *Sum) Total() (*report.Report, error) {
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
