package reports

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/report"
)

// summaryBatch is how many reports a summary reads at a time.
const summaryBatch = 16

// summaryLine is what a summary says of a stored report.
type summaryLine struct {
	at    time.Time
	nodes int
	size  int64 // bytes of memory
	text  string
}

// AdminSummary returns a line for each report stored with an instant in the
// window that ends just before at: the instant, and report.Summary.
func (a *archive) AdminSummary(ctx context.Context, tenant string, at time.Time) (string, error) {
	lines, err := a.summary(ctx, tenant, at.Add(-a.window), at)
	return plainSummary(lines), err
}

func plainSummary(lines []summaryLine) string {
	var text strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&text, "%s  %s\n", stamp(l.at), l.text)
	}
	return text.String()
}

// summary returns a line for each report stored with from ≤ instant < to, in
// the order of their instants.
func (a *archive) summary(ctx context.Context, tenant string, from, to time.Time) ([]summaryLine, error) {
	entries, err := a.entries(ctx, tenant, from, to)
	if err != nil {
		return nil, err
	}
	var lines []summaryLine
	for batch := range slices.Chunk(entries, summaryBatch) {
		if lines, err = a.summarize(ctx, tenant, batch, lines); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// summarize appends the lines of some entries.
func (a *archive) summarize(ctx context.Context, tenant string, entries []index.Entry, lines []summaryLine) ([]summaryLine, error) {
	refs := make([]blob.Ref, len(entries))
	for i, e := range entries {
		refs[i] = e.Ref()
	}
	stored, err := a.store.Get(ctx, refs)
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		if !stored[i].Found {
			return nil, &bucket.MissingError{Tenant: tenant, Entries: []index.Entry{e}}
		}
		r := stored[i].Value
		lines = append(lines, summaryLine{time.Unix(0, e.Time), nodesOf(r), report.Size(r), report.Summary(r)})
	}
	return lines, nil
}

// nodesOf counts the nodes of all topologies.
func nodesOf(r *report.Report) (n int) {
	for k := range r.Topologies {
		n += len(r.Topologies[k].Nodes)
	}
	return n
}

// getSummary answers with a table of the reports stored in a window.
func (h *Handler) getSummary(w http.ResponseWriter, r *http.Request) error {
	s, err := h.sight(r)
	if err != nil {
		return err
	}
	p, err := parseParams(r.URL.RawQuery, append([]string{"tenant"}, spanParams...)...)
	if err != nil {
		return err
	}
	tenant, err := s.subject(p)
	if err != nil {
		return err
	}
	if s.all && tenant == "" {
		return refuse(http.StatusUnauthorized, "no tenant: send header %s with the tenant's id, or ?tenant=", h.opts.TenantHeader)
	}
	q, err := h.question(p)
	if err != nil {
		return err
	}
	lines, err := h.reader.stored().summary(r.Context(), tenant, q.from, q.to)
	if err != nil {
		return err
	}
	return h.send(w, r, mediaText, []byte(summaryText(tenant, q, lines, h.share(tenant))))
}

// share returns what the handler's collector has of a tenant in memory; nil for
// a querier, which does not know.
func (h *Handler) share(tenant string) *bucket.Share {
	if h.collector == nil {
		return nil
	}
	s := h.collector.live.Share(tenant)
	return &s
}

// summaryText writes a summary for people to read: what it is about, a table
// with the newest report last, and how many there are.
func summaryText(tenant string, q question, lines []summaryLine, share *bucket.Share) string {
	var b strings.Builder
	until := "now"
	if !q.open {
		until = stamp(q.to)
	}
	fmt.Fprintf(&b, "tenant %s, stored from %s until %s\n\n", cmp.Or(tenant, "(the single one)"), stamp(q.from), until)
	nodes, size := 0, int64(0)
	if len(lines) > 0 {
		table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintf(table, "TIME\t%9s\t%10s\tSUMMARY\n", "NODES", "IN MEMORY")
		for _, l := range lines {
			fmt.Fprintf(table, "%s\t%9d\t%10s\t%s\n", stamp(l.at), l.nodes, humanBytes(l.size), flat(l.text))
			nodes, size = nodes+l.nodes, size+l.size
		}
		fmt.Fprintf(table, "%s\t%9d\t%10s\n", plural(len(lines), "report"), nodes, humanBytes(size))
		_ = table.Flush() // a Builder takes everything
	}
	switch {
	case len(lines) > 0:
	case share == nil || share.Ticks > 0 || share.Values > 0:
		b.WriteString("0 reports\n")
	default:
		b.WriteString("0 reports, and none in memory: is the tenant's id right?\n")
	}
	if share != nil && share.Values > 0 {
		fmt.Fprintf(&b, "%s more waiting to be stored, %s in memory\n", plural(share.Values, "report"), humanBytes(share.Bytes))
	}
	return b.String()
}

// plural writes how many there are of a thing.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
