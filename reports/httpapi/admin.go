package httpapi

import (
	"context"
	"net/http"
	"net/url"

	"github.com/timeblob/timeblob/reports/admin"
)

// newAdmin returns the operators' pages.
func (h *Handler) newAdmin(from admin.Source) *admin.Pages {
	links := []string{"/healthz", "/readyz", "/api"}
	if h.opts.Gatherer != nil {
		links = append([]string{"/metrics"}, links...)
	}
	return admin.New(admin.Config{Source: from, Live: h.now, Health: h.health, Gatherer: h.opts.Gatherer,
		Explain:   func(ctx context.Context, err error) string { return refusalOf(ctx, err).text },
		Namespace: h.opts.Namespace, TenantHeader: h.opts.TenantHeader, Links: links, Logger: h.opts.Logger,
		Who: admin.Identity{ID: h.opts.ID, Version: h.opts.Version, Hostname: h.opts.Hostname, Role: h.opts.Role}})
}

// seesAll reports whether a request may see every tenant, as in /metrics: a
// header would name its tenant and is absent.
func (c caller) seesAll() bool { return c.unnamed }

// subject returns the tenant that an operators' page is about: the request's, or
// the one that the parameter tenant names if the request may see all.
func (r *request) subject(p params) (string, error) {
	named := p.get("tenant")
	if r.seesAll() {
		return named, nil
	}
	tenant, err := r.Tenant()
	if err == nil && named != "" && named != tenant {
		err = refuse(http.StatusBadRequest, "parameter tenant names another tenant than the request: leave it out")
	}
	return tenant, err
}

// getAdmin answers with the operators' page. It answers even if the store fails.
func (h *Handler) getAdmin(w http.ResponseWriter, r *request) error {
	q, err := adminQuestion(r)
	if err != nil {
		return err
	}
	page, err := h.admin.Render(r.Context(), q)
	if err != nil {
		return err
	}
	head := w.Header()
	head.Set("Content-Security-Policy", admin.Policy)
	head.Set("Referrer-Policy", "no-referrer")
	return h.send(w, r, mediaHTML, page)
}

// toAdmin redirects to the page. The address is relative, since the collector may
// be behind a path prefix that it does not know.
func toAdmin(w http.ResponseWriter, r *request) error {
	to := url.URL{Path: "admin/", RawQuery: r.URL.RawQuery}
	w.Header().Set("Location", to.String())
	w.WriteHeader(http.StatusPermanentRedirect)
	return nil
}

// adminQuestion reads what a request asks of the page.
func adminQuestion(r *request) (q admin.Question, err error) {
	q.All = r.seesAll()
	if _, err := r.Tenant(); err != nil && !q.All {
		return q, err
	}
	p, err := parseParams(r.URL.RawQuery, "tenant", "hours", "refresh")
	if err != nil {
		return q, err
	}
	if q.Tenant, err = r.subject(p); err != nil {
		return q, err
	}
	if q.Hours, err = p.integer("hours", admin.DefaultHours, 1, admin.MaxHours); err != nil {
		return q, err
	}
	q.Refresh, err = p.integer("refresh", admin.DefaultRefresh, 0, admin.MaxRefresh)
	return q, err
}

// getSummary answers with a table of the reports stored in a window.
func (h *Handler) getSummary(w http.ResponseWriter, r *request) error {
	if _, err := r.Tenant(); err != nil && !r.seesAll() {
		return err
	}
	p, err := parseParams(r.URL.RawQuery, append([]string{"tenant"}, rangeParams...)...)
	if err != nil {
		return err
	}
	tenant, err := r.subject(p)
	if err != nil {
		return err
	}
	if r.seesAll() && tenant == "" {
		return refuse(http.StatusUnauthorized, "no tenant: send header %s with the tenant's id, or ?tenant=", h.opts.TenantHeader)
	}
	q, err := h.question(p)
	if err != nil {
		return err
	}
	stored := h.reader.Stored()
	lines, err := stored.Summary(r.Context(), tenant, q.From, q.To)
	if err != nil {
		return err
	}
	text := admin.Summary(tenant, q, lines, nil)
	if h.collector != nil {
		share, err := h.collector.Share(r.Context(), tenant)
		if err != nil {
			return err
		}
		text = admin.Summary(tenant, q, lines, &share)
	}
	return h.send(w, r, mediaText, []byte(text))
}
