package shortcuts

import (
	"strings"

	"github.com/timeblob/timeblob/index"
)

// defaultSubject is the subject of the default tenant, whose id is empty. No id
// may hold "=", so it cannot be another tenant's subject.
const defaultSubject = "tenant="

// subjectOf returns the subject of a tenant's shortcuts: the id, as in Scope.
// An id with dots is a subject of several parts. All its parts are literal, so
// the subject matches no other tenant. The error is an *index.TenantError for an
// id that index.CheckTenant refuses, and for an id with an empty part, which
// NATS refuses.
func subjectOf(tenant string) (string, error) {
	if tenant == "" {
		return defaultSubject, nil
	}
	if strings.HasPrefix(tenant, ".") || strings.HasSuffix(tenant, ".") || strings.Contains(tenant, "..") {
		return "", &index.TenantError{Tenant: tenant, Reason: "it begins or ends with a dot, or holds two dots in a row, which NATS refuses"}
	}
	return tenant, index.CheckTenant(tenant)
}
