package httpapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/timeblob/timeblob/reports"
)

// TestMetrics checks the names, labels and buckets that Scope's dashboards use.
func TestMetrics(t *testing.T) {
	t.Parallel()
	f := setup(t, func(_ *reports.Options, h *Options) { h.TenantHeader = orgHeader })
	body := encode(t, hosts("h1"))
	shortcut := encode(t, cut("c1"))
	f.post(t, body, orgHeader+": acme")
	f.post(t, body, orgHeader+": acme")
	f.post(t, shortcut, orgHeader+": acme")
	f.serve("GET", "/api/report", nil, orgHeader+": acme")
	f.serve("GET", "/api/nothing", nil)
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	stored := f.authority.Bytes()
	var want strings.Builder
	counter := func(name, labels, help string, value any) {
		fmt.Fprintf(&want, "# HELP %s %s\n# TYPE %s counter\n%s{%s} %v\n", name, help, name, name, labels, value)
	}
	counter("scope_reports_received_total", `user="acme"`, "Reports received.", 3)
	counter("scope_reports_received_bytes_total", `user="acme"`, "Bytes of the reports received, compressed.", 2*len(body)+len(shortcut))
	counter("scope_shortcut_reports_received_total", `user="acme"`, "Shortcut reports received.", 1)
	counter("scope_reports_stored_total", `user="acme"`, "Merged reports stored.", 1)
	counter("scope_reports_bytes_total", `user="acme"`, "Bytes of the merged reports stored, compressed.", stored)
	names := []string{"scope_reports_received_total", "scope_reports_received_bytes_total", "scope_shortcut_reports_received_total",
		"scope_reports_stored_total", "scope_reports_bytes_total"}
	if err := testutil.GatherAndCompare(f.registry, strings.NewReader(want.String()), names...); err != nil {
		t.Error(err)
	}
	text := f.serve("GET", "/metrics", nil).Body.String()
	for _, line := range []string{
		`scope_report_received_size_bytes_count 3`, `scope_report_received_size_bytes_bucket{le="4096"} 3`,
		`scope_report_received_size_bytes_bucket{le="2.097152e+06"} 3`, `scope_report_size_bytes_count 1`,
		fmt.Sprintf(`scope_report_size_bytes_sum %d`, stored),
		`scope_request_duration_seconds_count{method="POST",route="api_report",status_code="200",ws="false"} 3`,
		`scope_request_duration_seconds_count{method="GET",route="api_report",status_code="200",ws="false"} 1`,
		`scope_request_duration_seconds_count{method="GET",route="other",status_code="404",ws="false"} 1`,
		`scope_flush_duration_seconds_count{`, `scope_in_process_cache_requests_total`, `scope_node_conflicts_total 0`,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no %s", line)
		}
	}
}

func TestMethodLabel(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	for i := range 50 {
		f.serve(fmt.Sprint("M", i), "/api", nil)
	}
	f.serve("PUT", "/api", nil)
	if n := testutil.CollectAndCount(f.handler.metrics.duration); n != 2 {
		t.Errorf("%d series for 51 methods", n)
	}
}
