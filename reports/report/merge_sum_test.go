package report_test

import (
	"math"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// A collector takes back what merges make of reports that it took: also sums
// that are longer than a day, or than the field.
func TestMergesAreValid(t *testing.T) {
	t.Parallel()
	const most = time.Duration(math.MaxInt64)
	all := report.Sampling{Count: math.MaxUint64, Total: math.MaxUint64}
	for name, c := range map[string]struct {
		parts []report.Report
		want  report.Report
	}{
		"25 hours":          {[]report.Report{{Window: 24 * time.Hour}, {Window: time.Hour}}, report.Report{Window: 25 * time.Hour}},
		"300 years":         {[]report.Report{{Window: most/2 + 1}, {Window: most/2 + 1}}, report.Report{Window: most}},
		"the longest":       {[]report.Report{{Window: most}, {}, {Window: most}}, report.Report{Window: most}},
		"a negative window": {[]report.Report{{Window: -1}, {Window: 3}}, report.Report{Window: 3}},
		"all packets":       {[]report.Report{{Sampling: all}, {Sampling: report.Sampling{Count: 1, Total: 1}}}, report.Report{Sampling: all}},
	} {
		var parts []*report.Report
		for i := range c.parts {
			parts = append(parts, &c.parts[i])
		}
		r := merge(t, parts...)
		if r.Window != c.want.Window || r.Sampling != c.want.Sampling {
			t.Errorf("%s: window %v, sampling %v, want %v, %v", name, r.Window, r.Sampling, c.want.Window, c.want.Sampling)
		}
		blob, err := wire.Codec{}.Encode(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		facts, err := wire.Codec{}.Examine(blob)
		if err != nil || facts.Fault != nil {
			t.Errorf("%s: %v, %v", name, facts, err)
		}
		if err := report.Validate(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
