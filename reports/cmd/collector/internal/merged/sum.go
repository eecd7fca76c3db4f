package merged

import (
	"strings"

	"github.com/timeblob/timeblob/reports/report"
)

// A Sum folds its parts when they reach this number, or this many bytes of memory.
const (
	foldReports = 64
	foldBytes   = 256 << 20
)

// Sum merges any number of reports. It holds their merge and a limited number of parts in memory.
type Sum struct {
	merged    *report.Report // nil before the first fold
	parts     []*report.Report
	bytes     int64 // the size of the parts in memory
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

// fold merges the parts into one.
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

// Total returns the merge of all reports, with the ID of a merge in one step. A merge's ID is a hash over the
// IDs of its parts in order, so a single part with all IDs has the same.
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
