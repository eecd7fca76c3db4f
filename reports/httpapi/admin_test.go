package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/html"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

// hostile is what a probe may call its host.
const hostile = `<script>alert("pwned")</script>`

// othersOperated is how many tenants operate adds that are like each other.
const othersOperated = 105

// operate returns a collector of many tenants as an operator finds it half a
// minute past noon and three: acme has sent every 3 s since half past nine but
// for 19 minutes; silent has stopped 4 minutes ago; nothing of stuck's last
// three ticks is stored; and there are others, who came last.
func operate(t testing.TB) *fixture {
	t.Helper()
	f := setup(t, func(o *reports.Options, h *Options) {
		h.TenantHeader = orgHeader
		o.Store.Caches = []tiered.Cache{{Name: "memcached", Tier: new(tiered.MemTier)}}
		o.Live.MaxPending = 1 << 20
	})
	for at := noon.Add(-150 * time.Minute); at.Before(noon.Add(195 * time.Second)); at = at.Add(3 * time.Second) {
		if at.Before(noon.Add(-108*time.Minute)) || !at.Before(noon.Add(-89*time.Minute)) {
			f.entry(t, "acme", at)
		}
	}
	f.clock.Set(noon.Add(-30 * time.Second))
	f.tick(t, "silent", hosts("s1"))
	for i := range 5 {
		f.clock.Set(noon.Add(time.Duration(195+3*i) * time.Second))
		f.add(t, "acme", container("c1", "h1"), "")
		for other := 0; i == 4 && other < othersOperated; other++ {
			f.add(t, fmt.Sprintf("other-%03d", other), hosts("h"), "")
		}
		f.tick(t, "acme", hosts(hostile, "h1"))
	}
	gaveUp, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 3 {
		f.clock.Set(noon.Add(time.Duration(208+i) * time.Second))
		f.add(t, "stuck", hosts("h2"), "")
		if err := f.Flush(gaveUp); err == nil {
			t.Fatal("all was stored by one who gave up")
		}
	}
	for range 3 { // the first time from the authority, then from memory
		if _, err := f.AdminSummary(t.Context(), "acme", noon.Add(210*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// entry puts an entry into the index that no question of the page reads a blob
// of.
func (f *fixture) entry(t testing.TB, tenant string, at time.Time) {
	t.Helper()
	row := index.RowAt(tenant, at.UnixNano())
	if err := f.index.Put(t.Context(), row, index.Entry{Time: at.UnixNano(), Key: row.BlobKey(at.UnixNano())}); err != nil {
		t.Fatal(err)
	}
}

// tick stores a report, and all that was added before.
func (f *fixture) tick(t testing.TB, tenant string, r *report.Report) {
	t.Helper()
	f.add(t, tenant, r, "")
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// page asks for a page and returns it parsed.
func (f *fixture) page(t testing.TB, target string, headers ...string) page {
	t.Helper()
	w := f.serve("GET", target, nil, headers...)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != mediaHTML {
		t.Fatalf("%s: %d %v %s", target, w.Code, w.Header(), w.Body)
	}
	root, err := html.Parse(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return page{root}
}

// page is a parsed page, or a part of one.
type page struct{ *html.Node }

// all returns the elements with a name and, if one is given, a class.
func (p page) all(name, class string) (found []page) {
	for n := range p.Descendants() {
		e := page{n}
		if n.Type == html.ElementNode && n.Data == name && (class == "" || slices.Contains(strings.Fields(e.attr("class")), class)) {
			found = append(found, e)
		}
	}
	return found
}

func (p page) attr(name string) string {
	for _, a := range p.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// text returns the text of a part, its words with single spaces.
func (p page) text() string {
	var words []string
	for n := range p.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "style" {
			words = append(words, strings.Fields(n.Data)...)
		}
	}
	return strings.Join(words, " ")
}

// rows returns the cells' texts of the table with an id, joined by bars.
func (p page) rows(id string) (rows []string) {
	for _, table := range p.all("table", "") {
		if table.attr("id") != id {
			continue
		}
		for _, tr := range table.all("tr", "")[1:] {
			var cells []string
			for n := range tr.ChildNodes() {
				if n.Type == html.ElementNode {
					cells = append(cells, page{n}.text())
				}
			}
			rows = append(rows, strings.Join(cells, " | "))
		}
	}
	return rows
}

// id returns the text of the element with an id; absent without one.
func (p page) id(id string) string {
	for n := range p.Descendants() {
		if n.Type == html.ElementNode && (page{n}).attr("id") == id {
			return page{n}.text()
		}
	}
	return "absent"
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	f := operate(t)
	if rows := f.page(t, "/admin/").rows("tenant-table"); !strings.HasPrefix(rows[1], "silent | 4 min ago | ") ||
		!strings.HasPrefix(rows[2], "acme | 3 s ago | 4 | – | 10 · 10 B | 5 · ") {
		t.Errorf("after the one that is stuck: %q", rows[1:3])
	}
	for target, want := range map[string]struct {
		headers  []string
		tenants  int    // rows
		first    string // the first one's start
		chosen   string // the heading
		more     string
		bars     int
		contains []string
	}{
		"/admin/": {nil, 100, "stuck | 0 s ago | 3 | 3 · 14.0 KiB | 3 · 3 B | 0 · 0 B", "absent", "… and 8 more: enter a part of the id.", 0, nil},
		"/admin/?tenant=acme": {nil, 1, "acme | ", "Tenant acme", "absent", 135,
			[]string{"2690 stored in 135 of 180 minutes, at most 20 in one; longest gap 19 min from 10:12 to 10:31 UTC.", "container:1, host:2",
				"curl -H 'X-Scope-OrgID: acme' …/api/report"}},
		"/admin/?tenant=acme&hours=1": {nil, 1, "acme | ", "Tenant acme", "absent", 60, []string{"1190 stored in 60 of 60 minutes, at most 20 in one."}},
		"/admin/?tenant=stuck": {nil, 1, "stuck | 0 s ago | 3 | 3 · ", "Tenant stuck", "absent", 1,
			[]string{"0 stored in 0 of 180 minutes, at most 3 in one; 3 waiting to be stored.", "h2;<host>: host:1"}},
		"/admin/?tenant=silent": {nil, 1, "silent | 4 min ago | 0 | – | 1 · 1 B | 1 · ", "Tenant silent", "absent", 1,
			[]string{"1 stored in 1 of 180 minutes, at most 1 in one; longest gap 3 min from 12:00 to 12:03 UTC.", "live window empty"}},
		"/admin/?tenant=other":   {nil, 100, "other-000 | 3 s ago | 1", "absent", "… and 5 more: enter a part of the id.", 0, []string{"all 108"}},
		"/admin/?tenant=er-10":   {nil, 5, "other-100 | ", "absent", "absent", 0, nil},
		"/admin/?tenant=silen":   {nil, 1, "silent | ", "Tenant silent", "absent", 1, nil},
		"/admin/?tenant=nobody":  {nil, 0, "", "Tenant nobody", "absent", 0, []string{"is the id right?", "Nothing was stored in the last 3 h"}},
		"/admin/?tenant=%3Cb%3E": {nil, 0, "", "absent", "absent", 0, []string{"No tenant with this id is in memory"}},
		"/admin/?hours=24":       {[]string{orgHeader + ": acme"}, 1, "acme | ", "Tenant acme", "absent", 135, []string{"the live report"}},
		"/admin/?hours=2&tenant=silent": {[]string{orgHeader + ": silent"}, 1, "silent | ", "Tenant silent", "absent", 1,
			[]string{"in 1 of 120 minutes"}},
	} {
		p := f.page(t, target, want.headers...)
		rows := p.rows("tenant-table")
		if len(rows) != want.tenants || len(rows) > 0 && !strings.HasPrefix(rows[0], want.first) {
			t.Errorf("%s: %d tenants, want %d: %.200q", target, len(rows), want.tenants, rows)
		}
		if chosen, more := p.id("chosen"), p.id("more"); chosen != want.chosen || more != want.more {
			t.Errorf("%s: chosen %q, more %q", target, chosen, more)
		}
		if n := len(p.all("g", "bar")); n != want.bars {
			t.Errorf("%s: %d bars, want %d", target, n, want.bars)
		}
		for _, text := range want.contains {
			if !strings.Contains(p.text(), text) {
				t.Errorf("%s: no %q in %.2000s", target, text, p.text())
			}
		}
	}
}

// TestAdminOwn checks that a request of one tenant sees nothing of the others.
func TestAdminOwn(t *testing.T) {
	t.Parallel()
	f := operate(t)
	text := f.page(t, "/admin/", orgHeader+": silent").text()
	for _, other := range []string{"acme", "stuck", "other-000", "more"} {
		if strings.Contains(text, other) {
			t.Errorf("silent sees %s: %s", other, text)
		}
	}
	single := setup(t, nil)
	single.tick(t, "", hosts("h1"))
	p := single.page(t, "/admin/")
	if rows := p.rows("tenant-table"); len(rows) != 1 || !strings.HasPrefix(rows[0], "default tenant | 0 s ago | 1 | ") || len(p.all("form", "")) != 0 {
		t.Errorf("the single tenant: %q", rows)
	}
	if n := len(p.all("g", "bar")); n != 1 {
		t.Errorf("%d bars of the single tenant", n)
	}
}

// TestAdminFigures checks that what the page says of tiers and flushing is what
// /metrics says.
func TestAdminFigures(t *testing.T) {
	t.Parallel()
	f := operate(t)
	metrics := f.serve("GET", "/metrics", nil).Body.String()
	value := func(series string) string {
		_, after, _ := strings.Cut(metrics, "\n"+series+" ")
		line, _, _ := strings.Cut(after, "\n")
		return line
	}
	p := f.page(t, "/admin/")
	want := []string{
		"merged quanta slices of time, merged | 0 | 0 | – | –",
		fmt.Sprintf("memory reports, decoded | %s | %s | 66.7 %% | –", value("scope_in_process_cache_requests_total"), value("scope_in_process_cache_hits_total")),
		fmt.Sprintf("memcached cache of blobs | %s | %s | 100.0 %% | 0", value(`scope_tier_requests_total{tier="memcached"}`), value(`scope_tier_hits_total{tier="memcached"}`)),
		"authority holds every blob | 0 | 0 | – | 0",
	}
	if rows := p.rows("tier-table"); !slices.Equal(rows, want) {
		t.Errorf("tiers: %q, want %q", rows, want)
	}
	for _, text := range []string{"values waiting 3", "flush retries 0", "of 1.0 MiB", "role all", "version 1.2", "id c1", "up 3 min 30 s"} {
		if !strings.Contains(p.text(), text) {
			t.Errorf("no %q in %.2000s", text, p.text())
		}
	}
	without := setup(t, func(_ *reports.Options, h *Options) { h.Gatherer = nil })
	if p := without.page(t, "/admin/"); p.id("tiers") != "absent" || strings.Contains(p.text(), "flush retries") {
		t.Errorf("figures of nothing: %s", p.text())
	}
}

func TestAdminRefuses(t *testing.T) {
	t.Parallel()
	f := operate(t)
	for _, c := range []struct {
		target, header string
		status         int
		says           string
	}{
		{"/admin/?hours=0", "acme", 400, `parameter hours: "0" is no number from 1 to 24`},
		{"/admin/?hours=25", "acme", 400, "parameter hours"},
		{"/admin/?hours=x", "acme", 400, "parameter hours"},
		{"/admin/?refresh=-1", "acme", 400, "parameter refresh"},
		{"/admin/?tenant=a&tenant=b", "acme", 400, "came 2 times"},
		{"/admin/?tenant=silent", "acme", 400, "another tenant than the request"},
		{"/admin/summary?tenant=silent", "acme", 400, "another tenant than the request"},
		{"/admin/", "a b", 400, "tenant"},
		{"/admin/summary?tenant=a%20b", "", 400, "tenant"},
		{"/admin/summary", "", 401, "send header"},
	} {
		var headers []string
		if c.header != "" {
			headers = []string{orgHeader + ": " + c.header}
		}
		w := f.serve("GET", c.target, nil, headers...)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s of %q: %d %s", c.target, c.header, w.Code, w.Body)
		}
	}
	if w := f.serve("GET", "/admin/", nil, orgHeader+": a", orgHeader+": b"); w.Code != 400 {
		t.Errorf("two tenants: %d", w.Code)
	}
	if w := f.serve("GET", "/admin/", nil, orgHeader+": "); w.Code != 401 {
		t.Errorf("an empty tenant: %d", w.Code)
	}
}

// TestAdminIsGuarded checks that the page runs nothing, loads nothing, and shows
// what probes and clients say as text.
func TestAdminIsGuarded(t *testing.T) {
	t.Parallel()
	f := operate(t)
	w := f.serve("GET", "/admin/?tenant=acme", nil)
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	p := f.page(t, "/admin/?tenant=acme")
	for n := range p.Descendants() {
		e := page{n}
		if n.Data == "script" || n.Data == "link" || n.Data == "img" || e.attr("style") != "" || e.attr("onclick") != "" {
			t.Errorf("the page holds a %s", n.Data)
		}
		if src := e.attr("src"); src != "" || strings.Contains(e.attr("href"), "//") {
			t.Errorf("the page loads %s %s", src, e.attr("href"))
		}
	}
	f.tick(t, "evil", hosts(hostile))
	p = f.page(t, "/admin/?tenant=evil")
	if !strings.Contains(p.text(), hostile+";<host>: host:1") || len(p.all("script", "")) != 0 {
		t.Errorf("a hostile host: %s", p.text())
	}
	p = f.page(t, "/admin/?tenant=%22%3E%3Cscript%3E")
	if inputs := p.all("input", ""); len(p.all("script", "")) != 0 || inputs[0].attr("value") != `"><script>` {
		t.Errorf("a hostile filter: %s", p.text())
	}
}

// TestAdminWithoutStore checks that a store that fails or hangs is said on the page,
// which is there in time all the same.
func TestAdminWithoutStore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault faulttest.Fault
		says  string
	}{
		"fails": {faulttest.Fault{Err: errors.New("secret-host:8000 refused")}, "store: error: the request failed here"},
		"hangs": {faulttest.Fault{Hang: true}, "store: error: no answer within 1.5s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := setup(t, func(o *reports.Options, _ *Options) { o.Now = nil })
				faulty := faulttest.NewIndex(f.index, 1)
				opts := &reports.Options{Live: bucket.CollectorOptions[*report.Report]{Alone: true}}
				var err error
				if f.Collector, err = reports.New(faulty, f.authority, opts); err != nil {
					t.Fatal(err)
				}
				f.handler.reader, f.handler.collector, f.handler.admin = f.Collector, f.Collector, f.handler.newAdmin(f.Collector)
				f.add(t, "", hosts("h1"), "")
				faulty.Decide(func(faulttest.Call) faulttest.Fault { return c.fault })
				begin := time.Now()
				p := f.page(t, "/admin/")
				if took := time.Since(begin); took > 2*time.Second {
					t.Errorf("took %v", took)
				}
				if text := p.text(); !strings.Contains(text, c.says) || strings.Contains(text, "secret-host") || !strings.Contains(text, "not ready") {
					t.Errorf("says %s", text)
				}
				if rows := p.rows("tenant-table"); len(rows) != 1 {
					t.Errorf("tenants: %q", rows)
				}
			})
		})
	}
}

// TestAdminStates checks that the page says when the collector takes nothing.
func TestAdminStates(t *testing.T) {
	t.Parallel()
	f := setup(t, func(o *reports.Options, _ *Options) { o.Live.MaxPending = 1 })
	if p := f.page(t, "/admin/"); p.all("span", "state")[0].text() != "not ready" || !strings.Contains(p.text(), "not ready: first tick: has not ended yet") {
		t.Errorf("new: %s", p.text())
	}
	ready := setup(t, nil)
	if err := ready.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := ready.page(t, "/admin/").all("span", "state")[0].text(); s != "ready" {
		t.Errorf("after a tick: %s", s)
	}
	if err := f.Add(t.Context(), "", hosts("h1"), reports.Origin{}); err == nil {
		t.Error("more than the limit was taken")
	}
	if text := f.page(t, "/admin/").text(); !strings.Contains(text, "reports refused (memory full) 1") {
		t.Errorf("after a refusal: %s", text)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := f.page(t, "/admin/").all("span", "state")[0].text(); s != "closing" {
		t.Errorf("closed: %s", s)
	}
}

// TestAdminRefresh checks that the page reloads itself unless it is paused, and that its links keep the choices.
func TestAdminRefresh(t *testing.T) {
	t.Parallel()
	f := operate(t)
	for target, want := range map[string]string{"/admin/?tenant=acme": "30", "/admin/?tenant=acme&hours=6&refresh=5": "5", "/admin/?refresh=0": ""} {
		got := ""
		for _, m := range f.page(t, target).all("meta", "") {
			if m.attr("http-equiv") == "refresh" {
				got = m.attr("content")
			}
		}
		if got != want {
			t.Errorf("%s: refresh %q, want %q", target, got, want)
		}
	}
	var hrefs []string
	for _, a := range f.page(t, "/admin/?tenant=acme&hours=6&refresh=5").all("a", "") {
		hrefs = append(hrefs, a.attr("href"))
	}
	for _, want := range []string{"?hours=1&refresh=5&tenant=acme", "?hours=6&refresh=0&tenant=acme", "?hours=6&refresh=5&tenant=",
		"summary?tenant=acme", "../metrics", "../healthz", "../readyz", "../api"} {
		if !slices.Contains(hrefs, want) {
			t.Errorf("no link to %s in %q", want, hrefs)
		}
	}
	w := f.serve("GET", "/admin?tenant=acme", nil)
	if w.Code != http.StatusPermanentRedirect || w.Header().Get("Location") != "admin/?tenant=acme" {
		t.Errorf("/admin: %d %v", w.Code, w.Header())
	}
}
