package httpapi

import (
	"net/http"
)

// request is a request whose caller is known.
type request struct {
	*http.Request
	caller
}

// caller is who sent a request. It is determined once for each request.
type caller struct {
	tenant  string // the tenant of the request; valid if err is nil
	err     error  // why the request has no tenant
	denied  error  // why the credentials do not suffice
	unnamed bool   // the configured tenant header is absent
	noToken bool   // credentials are needed and the request has none
}

// Tenant returns the tenant of the request.
func (c caller) Tenant() (string, error) { return c.tenant, c.err }

// refused returns an error when a path needs credentials that the caller lacks.
func (c caller) refused(path string) error {
	if openPaths[path] {
		return nil
	}
	return c.denied
}

// openPaths need no credentials: they tell nothing about tenants' reports. All
// other paths need them, whether they exist or not.
var openPaths = map[string]bool{"/": true, "/metrics": true, "/healthz": true, "/readyz": true}
