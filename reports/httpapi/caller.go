package httpapi

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/timeblob/timeblob/reports/tenants"
)

// callerOf determines the caller of a request: the owner of the credentials, or
// the tenant that the tenant header names if there are no credentials in the
// table or the credentials belong to a peer.
func (h *Handler) callerOf(r *http.Request) caller {
	table := h.opts.Tenants()
	if !table.Secured() {
		return h.named(r)
	}
	owner, err := ownerOf(table, r)
	switch {
	case err != nil:
		return caller{err: err, denied: err, noToken: r.Header.Get("Authorization") == ""}
	case !owner.Peer:
		return h.owner(r, owner.Tenant)
	case h.opts.TenantHeader == "":
		return caller{err: refuse(http.StatusForbidden, "the token is of a peer that names a tenant, and no header for that is configured")}
	}
	return h.named(r)
}

// named returns the caller that the tenant header names.
func (h *Handler) named(r *http.Request) caller {
	name := h.opts.TenantHeader
	if name == "" {
		return caller{}
	}
	ids := r.Header.Values(name)
	switch {
	case len(ids) > 1:
		return caller{err: refuse(http.StatusBadRequest, "header %s came %d times: send it once", name, len(ids))}
	case len(ids) == 0 || ids[0] == "":
		return caller{unnamed: len(ids) == 0, err: &refusal{status: http.StatusUnauthorized,
			text: fmt.Sprintf("no tenant: send header %s with the tenant's id", name)}}
	}
	return caller{tenant: ids[0], err: h.reader.CheckTenant(ids[0])}
}

// owner returns the caller whose credentials belong to a tenant. A tenant header
// must not name another tenant.
func (h *Handler) owner(r *http.Request, tenant string) caller {
	if name := h.opts.TenantHeader; name != "" && strings.Join(r.Header.Values(name), "") != "" {
		named := h.named(r)
		if named.err == nil && named.tenant != tenant {
			named.err = refuse(http.StatusForbidden, "header %s names another tenant than the token's: leave it out", name)
		}
		return named
	}
	return caller{tenant: tenant, err: h.reader.CheckTenant(tenant)}
}

// ownerOf returns the owner of a request's credentials.
func ownerOf(table *tenants.Table, r *http.Request) (tenants.Caller, error) {
	credentials := r.Header.Values("Authorization")
	if len(credentials) > 1 {
		return tenants.Caller{}, refuse(http.StatusBadRequest, "header Authorization came %d times: send it once", len(credentials))
	}
	if user, password, ok := r.BasicAuth(); ok {
		owner, known := table.Basic(user, password)
		if !known {
			return owner, &refusal{status: http.StatusUnauthorized, challenge: basicChallenge, text: "the user name and password are unknown here"}
		}
		return owner, nil
	}
	token := tokenIn(strings.Join(credentials, ""))
	if token == "" {
		return tenants.Caller{}, &refusal{status: http.StatusUnauthorized, challenge: challenge,
			text: "no token: send header Authorization with Bearer and the tenant's token"}
	}
	owner, known := table.Caller(token)
	if !known {
		return owner, &refusal{status: http.StatusUnauthorized, challenge: challenge + `, error="invalid_token"`,
			text: "the token is of no tenant here"}
	}
	return owner, nil
}

// basicChallenge asks for a user name and password, as RFC 7617, section 2, says.
const basicChallenge = `Basic realm="collector"`

// challenge asks for a token, as RFC 6750, section 3, says.
const challenge = `Bearer realm="collector"`

// tokenIn returns the token in credentials: Bearer TOKEN, or Scope-Probe
// token=TOKEN as Scope's probes write it. It returns "" when there is none.
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

// hintAtTokens logs, once, that Scope's query services cannot send tokens, when the
// first question is refused because it has none. Their users see an empty map.
func (h *Handler) hintAtTokens(who caller, route string) {
	if !who.noToken || route != "api_report" && route != "api_probes" && route != "api" {
		return
	}
	h.hintOnce.Do(func() {
		h.opts.Logger.Warn("a question without a token was refused: Scope's query services cannot send tokens, and show an empty map; "+
			"use --role query in their place, or a proxy that adds the token", "route", route)
	})
}
