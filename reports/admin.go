package reports

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/timeblob/timeblob/index"
)

const (
	// adminTimeout bounds what the page waits for a store.
	adminTimeout = 1500 * time.Millisecond
	// adminTenants bounds the tenants that the page lists.
	adminTenants = 100
	// adminHours and maxAdminHours are how long the strip is, and may be.
	adminHours, maxAdminHours = 3, 24
	// adminRefresh and maxAdminRefresh are seconds until a browser asks again.
	adminRefresh, maxAdminRefresh = 30, 3600
)

//go:embed admin.html
var adminHTML string

//go:embed admin.css
var adminCSS string

var adminTemplate = template.Must(template.New("admin").Funcs(template.FuncMap{
	"bytes": humanBytes, "count": humanCount, "percent": humanPercent,
	"clock": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" },
}).Parse(adminHTML))

// adminPolicy lets the page use its own style and nothing else: no script, no
// picture, no other site.
var adminPolicy = func() string {
	hash := sha256.Sum256([]byte(adminCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}()

// adminQuestion is what a request for the page asks.
type adminQuestion struct {
	sight
	filter         string
	hours, refresh int
}

// sight is whose figures a request may see.
type sight struct {
	all    bool
	tenant string // when not all
}

// sight returns whose figures a request may see: those of the tenant that it
// is of or, as in /metrics, everyone's when a header would name the tenant and
// is not there at all.
func (h *Handler) sight(r *http.Request) (sight, error) {
	tenant, err := h.tenant(r)
	if f := ownRefusal(err); f != nil && f.unnamed {
		return sight{all: true}, nil
	}
	return sight{tenant: tenant}, err
}

// subject returns the tenant that a page is to be about: the request's own, or
// the one that the parameter tenant names where it may see all.
func (s sight) subject(p params) (string, error) {
	named := p.get("tenant")
	switch {
	case !s.all && named != "" && named != s.tenant:
		return "", refuse(http.StatusBadRequest, "parameter tenant names another tenant than the request is of: leave it out")
	case !s.all:
		return s.tenant, nil
	}
	return named, nil
}

// getAdmin answers with the page for operators. It is answered also when the
// store fails.
func (h *Handler) getAdmin(w http.ResponseWriter, r *http.Request) error {
	q, err := h.adminQuestion(r)
	if err != nil {
		return err
	}
	var page bytes.Buffer
	if err := adminTemplate.Execute(&page, h.adminPage(r.Context(), q)); err != nil {
		return err
	}
	head := w.Header()
	head.Set("Content-Security-Policy", adminPolicy)
	head.Set("Referrer-Policy", "no-referrer")
	return h.send(w, r, mediaHTML, page.Bytes())
}

// toAdmin sends a client on to the page, by a relative address: the collector
// may be behind a prefix that it does not know.
func toAdmin(w http.ResponseWriter, r *http.Request) error {
	to := url.URL{Path: "admin/", RawQuery: r.URL.RawQuery}
	w.Header().Set("Location", to.String())
	w.WriteHeader(http.StatusPermanentRedirect)
	return nil
}

func (h *Handler) adminQuestion(r *http.Request) (q adminQuestion, err error) {
	if q.sight, err = h.sight(r); err != nil {
		return q, err
	}
	p, err := parseParams(r.URL.RawQuery, "tenant", "hours", "refresh")
	if err != nil {
		return q, err
	}
	if q.filter, err = q.subject(p); err != nil {
		return q, err
	}
	if q.hours, err = p.integer("hours", adminHours, 1, maxAdminHours); err != nil {
		return q, err
	}
	q.refresh, err = p.integer("refresh", adminRefresh, 0, maxAdminRefresh)
	return q, err
}

// integer reads a parameter that is a number within bounds; absent it is the
// value given.
func (p params) integer(name string, absent, least, most int) (int, error) {
	if p.get(name) == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(p.get(name))
	if err != nil || n < least || n > most {
		return 0, refuse(http.StatusBadRequest, "parameter %s: %.40q is no number from %d to %d", name, p.get(name), least, most)
	}
	return n, nil
}

// match returns which tenants are listed.
func (q *adminQuestion) match() func(string) bool {
	if q.all {
		return containing(q.filter)
	}
	return func(id string) bool { return id == q.tenant }
}

// chosen returns the tenant to show more of, if there is one: the request's;
// the one with exactly the id asked for, which may have gone silent; or the
// only one listed.
func (q *adminQuestion) chosen(listed []tenantRow) (tenant string, ok bool) {
	if !q.all {
		return q.tenant, true
	}
	for _, row := range listed {
		if row.ID == q.filter && q.filter != "" {
			return row.ID, true
		}
	}
	if len(listed) == 1 {
		return listed[0].ID, true
	}
	return q.filter, len(listed) == 0 && q.filter != "" && index.CheckTenant(q.filter) == nil
}
