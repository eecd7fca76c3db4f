package admin

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports"
)

// Summary returns a table of stored reports for people to read: the tenant and
// the range, a line for each report with the newest last, and their number. The
// share is what the tenant has in memory, or nil if that is unknown.
func Summary(tenant string, q reports.Question, lines []reports.SummaryLine, share *bucket.Share) string {
	var b strings.Builder
	until := "now"
	if !q.Open {
		until = human.Stamp(q.To)
	}
	fmt.Fprintf(&b, "tenant %s, stored from %s until %s\n\n", cmp.Or(tenant, "(the default tenant)"), human.Stamp(q.From), until)
	nodes, size := 0, int64(0)
	if len(lines) > 0 {
		table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintf(table, "TIME\t%9s\t%10s\tSUMMARY\n", "NODES", "IN MEMORY")
		for _, l := range lines {
			fmt.Fprintf(table, "%s\t%9d\t%10s\t%s\n", human.Stamp(l.Time), l.Nodes, human.Bytes(l.Size), human.Flat(l.Text))
			nodes, size = nodes+l.Nodes, size+l.Size
		}
		fmt.Fprintf(table, "%s\t%9d\t%10s\n", human.Plural(len(lines), "report"), nodes, human.Bytes(size))
		_ = table.Flush() // a Builder accepts everything
	}
	switch {
	case len(lines) > 0:
	case share == nil || share.Ticks > 0 || share.Values > 0:
		b.WriteString("0 reports\n")
	default:
		b.WriteString("0 reports, and none in memory: is the tenant's id right?\n")
	}
	if share != nil && share.Values > 0 {
		fmt.Fprintf(&b, "%s more waiting to be stored, %s in memory\n", human.Plural(share.Values, "report"), human.Bytes(share.Bytes))
	}
	return b.String()
}
