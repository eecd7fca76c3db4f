package reports

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// TestAdminOfQuerier holds: a querier's page has what is stored of a tenant,
// what its collectors hold of the live window, and names one that is away.
func TestAdminOfQuerier(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, nil)
	c.add(t, 0, "a", hosts("h1"))
	c.flush(t, 0)
	c.clock.advance(2 * time.Minute)
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
	for _, text := range []string{"2 stored in 2 of 180 minutes", "host:2", "collectors " + strings.Join(c.Collectors(), " "),
		"The collectors' own pages list them.", "role query"} {
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
