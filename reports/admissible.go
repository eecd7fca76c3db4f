package reports

import (
	"github.com/timeblob/timeblob/reports/report"
)

// admissible returns the report upgraded, without the topologies that have more
// than maxNodes nodes for each host, and the names of those topologies. The
// error says why no collector should hold the report. Validate is [report.Validate], or
// [report.ValidateDecoded] for a report that was just decoded.
func admissible(r *report.Report, maxNodes int, validate func(*report.Report) error) (upgraded *report.Report, dropped []string, err error) {
	if err := validate(r); err != nil {
		return nil, nil, err
	}
	r, dropped = report.DropTopologiesOver(r, maxNodes)
	upgraded, err = report.Upgrade(r)
	return upgraded, dropped, err
}

// checkShortcut returns the check of shortcuts from other services.
func checkShortcut(maxNodes int) func(*report.Report) (*report.Report, error) {
	return func(r *report.Report) (*report.Report, error) {
		r, _, err := admissible(r, maxNodes, report.Validate)
		return r, err
	}
}
