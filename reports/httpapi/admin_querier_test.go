package httpapi

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// TestAdminOfQuerier checks that a querier's page has what is stored of a tenant,
// what its collectors hold of the live window, and names one that is away.
func TestAdminOfQuerier(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, nil)
	c.add(t, 0, "a", hosts("h1"))
	c.flush(t, 0)
	c.clock.Advance(2 * time.Minute)
	c.add(t, 1, "a", hosts("h2"))
	c.flush(t, 1)
	c.add(t, 0, "a", hosts("h3"))
	look := func(target string) page {
		t.Helper()
		w := c.get(target)
		root, err := html.Parse(w.Body)
		if err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: %d, %v", target, w.Code, err)
		}
		return page{root}
	}
	p := look("/admin/")
	if n := len(p.all("g", "bar")); n != 2 {
		t.Errorf("%d bars, want 2", n)
	}
	for _, text := range []string{"2 stored in 2 of 180 minutes", "host:2", "collectors " + strings.Join(c.Querier.Collectors(), " "),
		"The collectors' own pages list their tenants.", "role query"} {
		if !strings.Contains(p.text(), text) {
			t.Errorf("no %q in %s", text, p.text())
		}
	}
	if strings.Contains(p.text(), "pending") || p.id("missing") != "absent" {
		t.Errorf("what a querier has not: %s", p.text())
	}
	c.collectors[1].server.Close()
	if missing := look("/admin/").id("missing"); missing != "without "+c.collectors[1].name() {
		t.Errorf("with one collector away: %q", missing)
	}
	c.collectors[0].server.Close()
	p = look("/admin/")
	if n := len(p.all("g", "bar")); n != 2 || !strings.Contains(p.text(), "live window error: none of 2 collectors answers") {
		t.Errorf("without collectors: %d bars, %s", n, p.text())
	}
	if text := c.get("/admin/summary?window=5m").Body.String(); !strings.Contains(text, "\n2 reports ") {
		t.Errorf("summary: %s", text)
	}
}

// TestAdminWithTokens checks that a token shows its tenant, a peer's all, and none
// nothing.
func TestAdminWithTokens(t *testing.T) {
	t.Parallel()
	f := guarded(t, orgHeader)
	for _, target := range []string{"/admin/", "/admin", "/admin/summary", "/admin/?tenant=acme"} {
		for _, headers := range [][]string{nil, {acme}, {bearer("guess")}, {bearer("guess"), acme}} {
			if w := f.serve("GET", target, nil, headers...); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "host-of") {
				t.Errorf("%s with %q: %d", target, headers, w.Code)
			}
		}
	}
	if w := f.serve("GET", "/admin/?tenant=acme", nil, bearer("other-token")); w.Code != http.StatusBadRequest {
		t.Errorf("another's page: %d", w.Code)
	}
	if w := f.serve("GET", "/admin/summary?tenant=acme", nil, bearer("other-token")); w.Code != http.StatusBadRequest {
		t.Errorf("another's summary: %d", w.Code)
	}
	own := f.page(t, "/admin/", bearer("other-token")).text()
	if !strings.Contains(own, "host-of-other;<host>: host:1") || strings.Contains(own, "acme") {
		t.Errorf("one's own: %s", own)
	}
	if rows := f.page(t, "/admin/", bearer("peer-token")).rows("tenant-table"); len(rows) != 3 {
		t.Errorf("a peer sees %q", rows)
	}
}
