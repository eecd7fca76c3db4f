package httpapi

import (
	"context"
	"net/http"
	"sync"

	"github.com/timeblob/timeblob/internal/gate"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/admin"
	"github.com/timeblob/timeblob/reports/health"
	"github.com/timeblob/timeblob/reports/shortcuts"
)

// reader answers questions. It is a *reports.Collector or a *reports.Querier.
type reader interface {
	Ask(ctx context.Context, tenant string, q reports.Question) (reports.Answer, error)
	CheckTenant(tenant string) error
	Stored() *reports.Archive
}

// Handler answers the HTTP requests that the package comment lists. It is safe
// for concurrent use.
type Handler struct {
	reader    reader
	collector *reports.Collector // the same as reader; nil for a Querier
	hub       *shortcuts.Hub     // where clients wait
	opts      Options
	routes    map[string]route // by path
	codings   slots            // for reports of usual size
	large     slots            // for posted reports that are larger
	buffered  *budget          // bytes of bodies and answers
	waiting   *budget          // requests that wait for a shortcut
	metrics   *metrics
	health    *health.Status
	posts     gate.Gate
	admin     *admin.Pages

	hintOnce sync.Once // guards the hint of hintAtTokens
	stopOnce sync.Once
	stopping chan struct{} // closed when no request may wait any longer
}

// route is a path that the handler answers.
type route struct {
	name    string // in metrics, as in Scope
	methods map[string]answerer
}

// answerer answers a request. If it returns an error, it has written nothing.
type answerer func(w http.ResponseWriter, r *request) error
