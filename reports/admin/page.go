// Package admin makes the operators' page: the state of a collector or a query
// service, its tenants, its caches, and what was stored of one tenant. The page
// shows metrics and index entries, and reads no blobs except for a live window.
package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/health"
	"github.com/timeblob/timeblob/reports/report"
)

const (
	// timeout bounds the wait for the store.
	timeout = 1500 * time.Millisecond
	// maxTenants bounds the tenants in the list.
	maxTenants = 100
	// DefaultHours and MaxHours are the length of the strip.
	DefaultHours, MaxHours = 3, 24
	// DefaultRefresh and MaxRefresh are the seconds after which a browser reloads
	// the page.
	DefaultRefresh, MaxRefresh = 30, 3600
)

//go:embed admin.html
var pageHTML string

//go:embed admin.css
var pageCSS string

var pageTemplate = template.Must(template.New("admin").Funcs(template.FuncMap{
	"bytes": human.Bytes, "count": human.Count, "percent": human.Percent,
	"span": human.Duration, "clock": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" },
}).Parse(pageHTML))

// Policy is the Content-Security-Policy of the page. It allows the page's own
// style and nothing else: no scripts, no images, no other sites.
var Policy = func() string {
	hash := sha256.Sum256([]byte(pageCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}()

// Source is a *reports.Collector or a *reports.Querier.
type Source interface {
	Overview(ctx context.Context, match func(tenant string) bool, limit int) reports.Overview
	Activity(ctx context.Context, tenant string, from time.Time) (reports.Activity, error)
	Stored() *reports.Archive
}

// Identity names a process.
type Identity struct{ ID, Version, Hostname, Role string }

// Config is what the pages are made from. Gatherer may be nil; all other fields
// are required.
type Config struct {
	Source Source
	// Live answers a question about now, and Explain returns what anybody may read
	// of an error.
	Live    func(ctx context.Context, tenant string) (reports.Answer, error)
	Explain func(ctx context.Context, err error) string

	Health       *health.Status
	Gatherer     prometheus.Gatherer // of the metrics in Namespace
	Namespace    string
	Who          Identity
	TenantHeader string   // shown only
	Links        []string // paths for operators
	Logger       *slog.Logger
}

// Pages makes pages. It is safe for concurrent use.
type Pages struct {
	Config
	started time.Time
}

// New returns the pages of a process that starts now.
func New(c Config) *Pages { return &Pages{Config: c, started: c.Source.Stored().Now()} }

// Question is what a request asks of the page.
type Question struct {
	All            bool   // the request may see every tenant
	Tenant         string // its tenant or, with All, a part of the ids to list
	Hours, Refresh int
}

// Render returns the page as HTML. It waits for the store for a limited time, and
// says so when the store does not answer or fails.
func (p *Pages) Render(ctx context.Context, q Question) ([]byte, error) {
	var html bytes.Buffer
	err := pageTemplate.Execute(&html, p.page(ctx, q))
	return html.Bytes(), err
}

// page is what the page shows. Its methods are for the template.
type page struct {
	CSS                  template.CSS
	Now                  time.Time
	Who                  Identity
	Uptime, TenantHeader string

	Reasons, Notes []string // as in /readyz
	reports.Overview
	figures
	Measured bool // figures are known

	All    bool   // the request may see every tenant
	Filter string // the listed tenants have ids with this part
	Chosen *chosenTenant

	Hours, Refresh int
	Links          []string
}

// chosenTenant is the tenant whose details the page shows.
type chosenTenant struct {
	ID       string
	Strip    *strip // nil if StripErr is set
	StripErr string
	Live     string // summary of the live window
	LiveErr  string
	Missing  string // what the live window lacks
	Idle     bool   // there are no reports of it in memory or in the strip

	Levels []bucket.LevelSpans // spans of the strip's hours
}

// page collects what the page shows.
func (p *Pages) page(ctx context.Context, q Question) *page {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	now := p.Source.Stored().Now()
	v := &page{CSS: template.CSS(pageCSS), Now: now, Who: p.Who, Uptime: human.Duration(now.Sub(p.started)),
		TenantHeader: p.TenantHeader, All: q.All, Filter: q.Tenant, Hours: q.Hours, Refresh: q.Refresh, Links: p.Links,
		Overview: p.Source.Overview(ctx, q.matches, maxTenants)}
	var asked sync.WaitGroup
	defer asked.Wait()
	asked.Go(func() { v.Reasons, v.Notes = p.Health.Ask(ctx) })
	if v.Measured = p.Gatherer != nil; v.Measured {
		v.figures = gatherFigures(p.Gatherer, p.Namespace)
	}
	if tenant, ok := q.chosen(v.Tenants); ok {
		v.Chosen = p.chosen(ctx, tenant, q.Hours)
		c := v.Chosen
		c.Idle = len(v.Tenants) == 0 && c.Live == "" && c.LiveErr == "" && c.Strip != nil && len(c.Strip.bars) == 0
	}
	return v
}

// matches reports whether the page lists a tenant.
func (q Question) matches(tenant string) bool {
	if q.All {
		return strings.Contains(tenant, q.Tenant)
	}
	return tenant == q.Tenant
}

// chosen returns the tenant whose details the page shows, if there is one: the
// request's tenant; or the tenant whose id is the filter, which may have no
// reports in memory; or the only tenant in the list.
func (q Question) chosen(listed []reports.TenantRow) (tenant string, ok bool) {
	if !q.All {
		return q.Tenant, true
	}
	for _, row := range listed {
		if row.ID == q.Tenant && q.Tenant != "" {
			return row.ID, true
		}
	}
	if len(listed) == 1 {
		return listed[0].ID, true
	}
	return q.Tenant, len(listed) == 0 && q.Tenant != "" && index.CheckTenant(q.Tenant) == nil
}

// chosen returns the details of a tenant: what was stored in the last hours, and
// the live window.
func (p *Pages) chosen(ctx context.Context, tenant string, hours int) *chosenTenant {
	t := &chosenTenant{ID: tenant}
	now := p.Source.Stored().Now()
	var live sync.WaitGroup
	live.Go(func() {
		a, err := p.Live(ctx, tenant)
		if err != nil {
			t.LiveErr = p.explain(ctx, "live window", err)
			return
		}
		t.Live, t.Missing = report.Summary(a.Report), strings.Join(a.Missing, ", ")
	})
	a, err := p.Source.Activity(ctx, tenant, stripStart(now, hours))
	if err != nil {
		t.StripErr = p.explain(ctx, "index", err)
	} else {
		t.Strip, t.Levels = newStrip(a, now, p.Source.Stored().Window(), hours), a.Levels
	}
	live.Wait()
	return t
}

// explain logs why a part of the page is missing, and returns what the page says
// about it.
func (p *Pages) explain(ctx context.Context, part string, err error) string {
	p.Logger.Warn("answered /admin/ in part", "missing", part, "err", err)
	if ctx.Err() != nil {
		return "no answer within " + timeout.String()
	}
	return human.Line(p.Explain(ctx, err))
}

// State returns the state of the collector in a word or two.
func (p *page) State() string {
	switch {
	case p.Closing:
		return "closing"
	case p.Full:
		return "full"
	case len(p.Reasons) > 0:
		return "not ready"
	case p.Chosen != nil && p.Chosen.StripErr != "":
		return "store error"
	}
	return "ready"
}

// addressOf returns the address of this page with one parameter changed.
func (p *page) addressOf(name, value string) string {
	q := url.Values{}
	if p.Filter != "" && p.All {
		q.Set("tenant", p.Filter)
	}
	if p.Hours != DefaultHours {
		q.Set("hours", strconv.Itoa(p.Hours))
	}
	if p.Refresh != DefaultRefresh {
		q.Set("refresh", strconv.Itoa(p.Refresh))
	}
	q.Set(name, value)
	return "?" + q.Encode()
}

// RefreshAddress returns the address of this page with another refresh.
func (p *page) RefreshAddress(seconds int) string {
	return p.addressOf("refresh", strconv.Itoa(seconds))
}

// TenantAddress returns the address of this page with another filter.
func (p *page) TenantAddress(filter string) string { return p.addressOf("tenant", filter) }

// hourChoice is a length of the strip that the page offers.
type hourChoice struct {
	Label, Address string
	Current        bool
}

// HourChoices returns the lengths of the strip that the page offers.
func (p *page) HourChoices() (choices []hourChoice) {
	for _, n := range []int{1, 3, 6, 12, 24} {
		choices = append(choices, hourChoice{strconv.Itoa(n) + " h", p.addressOf("hours", strconv.Itoa(n)), n == p.Hours})
	}
	return choices
}

// PendingLow and PendingHigh are the pending bytes from which the meter turns to
// its middle and to its last colour.
func (p *page) PendingLow() int64  { return p.MaxPending / 2 }
func (p *page) PendingHigh() int64 { return p.MaxPending / 5 * 4 }

// Ago returns how long ago an instant is, or a dash for the zero time.
func (p *page) Ago(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return human.Duration(max(0, p.Now.Sub(t)).Truncate(time.Second)) + " ago"
}
