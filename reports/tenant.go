package reports

import (
	"fmt"
	"net/http"

	"github.com/timeblob/timeblob/bucket"
)

// tenant returns the tenant that a request is of.
func (h *Handler) tenant(r *http.Request) (string, error) {
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
	return ids[0], bucket.CheckTenant(ids[0])
}
