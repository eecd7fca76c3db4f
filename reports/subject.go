package reports

import (
	"strings"

	"github.com/timeblob/timeblob/index"
)

// singleSubject is the subject of the single tenant, whose id is empty. No id
// may hold a "=", so that it is no other tenant's.
const singleSubject = "tenant="

// subjectOf returns the subject of a tenant's shortcuts: the id, as in Scope.
// Ids with dots are subjects of several parts, which are literal all the same:
// that of one tenant never stands for those of others. The error is a
// *index.TenantError for ids that index.CheckTenant refuses, and for those
// with an empty part, which NATS does.
func subjectOf(tenant string) (string, error) {
	if tenant == "" {
		return singleSubject, nil
	}
	if strings.HasPrefix(tenant, ".") || strings.HasSuffix(tenant, ".") || strings.Contains(tenant, "..") {
		return "", &index.TenantError{Tenant: tenant, Reason: "begins or ends with a dot, or holds two in a row, which NATS does not take"}
	}
	return tenant, index.CheckTenant(tenant)
}
