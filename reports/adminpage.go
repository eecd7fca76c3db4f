package reports

import (
	"context"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/timeblob/timeblob/reports/report"
)

// adminPage is what the page shows. Its methods are for the template.
type adminPage struct {
	CSS                        template.CSS
	Now                        time.Time
	Who                        details
	Role, Uptime, TenantHeader string

	Reasons, Notes []string // what /readyz says
	overview
	figures
	Measured bool // there are figures

	All    bool   // the request may see every tenant
	Filter string // the part of their ids by which tenants were chosen
	Chosen *chosenTenant

	Hours, Refresh int
	Links          []string
}

// chosenTenant is the one tenant that a page shows more of.
type chosenTenant struct {
	ID       string
	Strip    *strip // nil: StripErr
	StripErr string
	Live     string // what the live window holds
	LiveErr  string
	Missing  string // what could not be asked about the live window
	Idle     bool   // nothing of it is in memory, nor in the strip
}

// adminPage collects what the page shows, and waits for the store as long as
// adminTimeout at most.
func (h *Handler) adminPage(ctx context.Context, q adminQuestion) *adminPage {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	now := h.reader.stored().now()
	page := &adminPage{CSS: template.CSS(adminCSS), Now: now, Role: h.opts.Role,
		Who:    details{ID: h.opts.ID, Version: h.opts.Version, Hostname: h.opts.Hostname},
		Uptime: humanDuration(now.Sub(h.begun)), TenantHeader: h.opts.TenantHeader,
		All: q.all, Filter: q.filter, Hours: q.hours, Refresh: q.refresh, Links: h.links(),
		overview: h.reader.overview(ctx, q.match(), adminTenants)}
	var asked sync.WaitGroup
	defer asked.Wait()
	asked.Go(func() { page.Reasons, page.Notes = h.health.ask(ctx) })
	if page.Measured = h.opts.Gatherer != nil; page.Measured {
		page.figures = gatherFigures(h.opts.Gatherer, h.opts.Namespace)
	}
	if tenant, ok := q.chosen(page.Tenants); ok {
		page.Chosen = h.chosen(ctx, tenant, q.hours)
		c := page.Chosen
		c.Idle = len(page.Tenants) == 0 && c.Live == "" && c.LiveErr == "" && c.Strip != nil && len(c.Strip.bars) == 0
	}
	return page
}

// links returns the paths for operators that there are.
func (h *Handler) links() (paths []string) {
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/api"} {
		if _, ok := h.routes[path]; ok {
			paths = append(paths, path)
		}
	}
	return paths
}

// chosen looks at a tenant: at what was stored of it in some hours, and at its
// live window.
func (h *Handler) chosen(ctx context.Context, tenant string, hours int) *chosenTenant {
	t := &chosenTenant{ID: tenant}
	now := h.reader.stored().now()
	var live sync.WaitGroup
	live.Go(func() {
		a, err := h.now(ctx, tenant)
		if err != nil {
			t.LiveErr = h.explain(ctx, "live window", err)
			return
		}
		t.Live, t.Missing = report.Summary(a.Report), strings.Join(a.Missing, ", ")
	})
	a, err := h.reader.activity(ctx, tenant, stripStart(now, hours))
	if err != nil {
		t.StripErr = h.explain(ctx, "index", err)
	} else {
		t.Strip = newStrip(a, now, h.reader.stored().window, hours)
	}
	live.Wait()
	return t
}

// explain logs why a part of the page is missing, and returns what the page
// says about it.
func (h *Handler) explain(ctx context.Context, what string, err error) string {
	h.opts.Logger.Warn("answered /admin/ in part", "missing", what, "err", err)
	if ctx.Err() != nil {
		return "no answer within " + adminTimeout.String()
	}
	return line(refusalOf(ctx, err).text)
}

// State returns whether the collector takes reports, in a word or two.
func (p *adminPage) State() string {
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

// addressOf returns the page's own address with a parameter changed.
func (p *adminPage) addressOf(name, value string) string {
	q := url.Values{}
	if p.Filter != "" && p.All {
		q.Set("tenant", p.Filter)
	}
	if p.Hours != adminHours {
		q.Set("hours", strconv.Itoa(p.Hours))
	}
	if p.Refresh != adminRefresh {
		q.Set("refresh", strconv.Itoa(p.Refresh))
	}
	q.Set(name, value)
	return "?" + q.Encode()
}

// RefreshAddress returns the page's address with another refresh.
func (p *adminPage) RefreshAddress(seconds int) string {
	return p.addressOf("refresh", strconv.Itoa(seconds))
}

// TenantAddress returns the page's address with other tenants listed.
func (p *adminPage) TenantAddress(filter string) string { return p.addressOf("tenant", filter) }

// hourChoice is a length that the strip may have.
type hourChoice struct {
	Label, Address string
	Current        bool
}

// HourChoices returns the lengths that the page offers.
func (p *adminPage) HourChoices() (choices []hourChoice) {
	for _, n := range []int{1, 3, 6, 12, 24} {
		choices = append(choices, hourChoice{strconv.Itoa(n) + " h", p.addressOf("hours", strconv.Itoa(n)), n == p.Hours})
	}
	return choices
}

// PendingLow and PendingHigh are from where on the pending bytes are worth a
// look, and near their limit.
func (p *adminPage) PendingLow() int64  { return p.MaxPending / 2 }
func (p *adminPage) PendingHigh() int64 { return p.MaxPending / 5 * 4 }

// Ago returns how long ago an instant is; a dash for none.
func (p *adminPage) Ago(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return humanDuration(max(0, p.Now.Sub(t))) + " ago"
}
