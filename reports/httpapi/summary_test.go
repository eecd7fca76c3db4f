package httpapi

import (
	"strings"
	"testing"
)

// TestSummaryOfTenants checks that a summary says of a tenant with nothing in it
// whether it is known, and what waits to be stored.
func TestSummaryOfTenants(t *testing.T) {
	t.Parallel()
	f := operate(t)
	for target, want := range map[string]struct{ header, begins, ends string }{
		"/admin/summary": {"acme", "tenant acme, stored from ", "\n5 reports                              15    27.7 KiB\n"},
		"/admin/summary?tenant=acme&window=5s": {"", "tenant acme, stored from ",
			"2026-11-22T12:03:27.000000000Z          3     5.5 KiB  container:1, host:2\n1 report                                3     5.5 KiB\n"},
		"/admin/summary?tenant=acme":   {"acme", "tenant acme, ", ""},
		"/admin/summary?tenant=stuck":  {"", "tenant stuck, ", "until now\n\n0 reports\n3 reports more waiting to be stored, 14.0 KiB in memory\n"},
		"/admin/summary?tenant=silent": {"", "tenant silent, ", "until now\n\n0 reports, and none in memory: is the tenant's id right?\n"},
		"/admin/summary?tenant=nobody": {"", "tenant nobody, ", "until now\n\n0 reports, and none in memory: is the tenant's id right?\n"},
	} {
		var headers []string
		if want.header != "" {
			headers = append(headers, orgHeader+": "+want.header)
		}
		w := f.serve("GET", target, nil, headers...)
		if text := w.Body.String(); w.Code != 200 || !strings.HasPrefix(text, want.begins) || !strings.HasSuffix(text, want.ends) {
			t.Errorf("%s: %d\n%s", target, w.Code, text)
		}
	}
}

// TestSummaryIsOneLineEach checks that what a probe calls its host breaks no line.
func TestSummaryIsOneLineEach(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	f.tick(t, "", hosts("a\nb\tc\x1b[31m"))
	if text := f.serve("GET", "/admin/summary", nil).Body.String(); strings.Count(text, "\n") != 5 || !strings.Contains(text, "a b c [31m;<host>") {
		t.Errorf("%q", text)
	}
}
