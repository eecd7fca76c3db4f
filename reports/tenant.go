package reports

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"

	"github.com/timeblob/timeblob/reports/tenants"
)

// tenant returns the tenant that a request is of: its token's, or the one that
// the tenant header names where there are no tokens, or where a peer asks.
func (h *Handler) tenant(r *http.Request) (string, error) {
	table := h.opts.Tenants()
	if !table.Secured() {
		return h.named(r)
	}
	caller, err := callerOf(table, r)
	switch {
	case err != nil:
		return "", err
	case !caller.Peer:
		return caller.Tenant, cmp.Or(h.hub.check(caller.Tenant), h.agrees(r, caller.Tenant))
	case h.opts.TenantHeader == "":
		return "", refuse(http.StatusForbidden, "the token is of a peer that names a tenant, and no header for that is configured")
	}
	return h.named(r)
}

// named returns the tenant that the tenant header names.
func (h *Handler) named(r *http.Request) (string, error) {
	name := h.opts.TenantHeader
	if name == "" {
		return "", nil
	}
	ids := r.Header.Values(name)
	switch {
	case len(ids) > 1:
		return "", refuse(http.StatusBadRequest, "header %s came %d times: send it once", name, len(ids))
	case len(ids) == 0 || ids[0] == "":
		return "", &refusal{status: http.StatusUnauthorized, unnamed: len(ids) == 0,
			text: fmt.Sprintf("no tenant: send header %s with the tenant's id", name)}
	}
	return ids[0], h.hub.check(ids[0])
}

// agrees refuses a request whose tenant header names another tenant than its
// token does.
func (h *Handler) agrees(r *http.Request, tenant string) error {
	if h.opts.TenantHeader == "" || strings.Join(r.Header.Values(h.opts.TenantHeader), "") == "" {
		return nil
	}
	named, err := h.named(r)
	if err == nil && named != tenant {
		err = refuse(http.StatusForbidden, "header %s names another tenant than the token's: leave it out", h.opts.TenantHeader)
	}
	return err
}

// openPaths are the paths that need no token: they tell nothing of tenants' reports.
// Any other does, whether it exists or not.
var openPaths = map[string]bool{"/": true, "/metrics": true, "/healthz": true, "/readyz": true}

// letIn refuses a request without a token where it needs one.
func (h *Handler) letIn(r *http.Request) error {
	table := h.opts.Tenants()
	if openPaths[r.URL.Path] || !table.Secured() {
		return nil
	}
	_, err := callerOf(table, r)
	return err
}

// callerOf returns whom a request's token is of.
func callerOf(table *tenants.Table, r *http.Request) (tenants.Caller, error) {
	credentials := r.Header.Values("Authorization")
	if len(credentials) > 1 {
		return tenants.Caller{}, refuse(http.StatusBadRequest, "header Authorization came %d times: send it once", len(credentials))
	}
	token := tokenIn(strings.Join(credentials, ""))
	if token == "" {
		return tenants.Caller{}, &refusal{status: http.StatusUnauthorized, challenge: challenge,
			text: "no token: send header Authorization with Bearer and the tenant's token"}
	}
	caller, known := table.Caller(token)
	if !known {
		return caller, &refusal{status: http.StatusUnauthorized, challenge: challenge + `, error="invalid_token"`,
			text: "the token is of no tenant here"}
	}
	return caller, nil
}

// challenge is how a token is asked for, as RFC 6750, section 3, has it.
const challenge = `Bearer realm="collector"`

// tokenIn returns the token in credentials: Bearer TOKEN, or Scope-Probe
// token=TOKEN as Scope's probes write it; empty when there is none.
func tokenIn(credentials string) string {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(credentials), " ")
	rest = strings.TrimSpace(rest)
	switch strings.ToLower(scheme) {
	case "bearer":
		return rest
	case "scope-probe":
		key, value, _ := strings.Cut(rest, "=")
		if strings.EqualFold(strings.TrimSpace(key), "token") {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}
