package reports

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/timeblob/timeblob/internal/tracing"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// getReport answers with the merge of a window.
func (h *Handler) getReport(w http.ResponseWriter, r *http.Request) error {
	tenant, err := h.tenant(r)
	if err != nil {
		return err
	}
	p, err := parseParams(r.URL.RawQuery, append(censorParams, spanParams...)...)
	if err != nil {
		return err
	}
	censor, err := p.censor()
	if err != nil {
		return err
	}
	q, err := h.question(p)
	if err != nil {
		return err
	}
	a, err := h.reader.ask(r.Context(), tenant, q)
	if err != nil {
		return err
	}
	tellMissing(w, a)
	return h.sendReport(w, r, censor.of(a.Report))
}

// headerMissing names what is not in an answer, as [Answer.Missing] does, with
// commas between. It is our own, and absent from answers that miss nothing.
const headerMissing = "Timeblob-Missing"

func tellMissing(w http.ResponseWriter, a Answer) {
	if len(a.Missing) > 0 {
		w.Header().Set(headerMissing, strings.Join(a.Missing, ", "))
	}
}

// now returns the answer about now.
func (h *Handler) now(ctx context.Context, tenant string) (Answer, error) {
	return h.reader.ask(ctx, tenant, question{to: h.reader.stored().soon()})
}

// sendReport sends a report as the client wants it.
func (h *Handler) sendReport(w http.ResponseWriter, r *http.Request, rpt *report.Report) error {
	media, encode := mediaJSON, wire.AppendJSON
	if wantsMsgpack(r.Header) {
		media, encode = mediaMsgpack, wire.AppendMsgpack
	}
	data, err := h.encode(r.Context(), rpt, encode)
	if err != nil {
		return err
	}
	w.Header().Add("Vary", "Accept")
	return h.send(w, r, media, data)
}

// encode encodes a report, a limited number at a time.
func (h *Handler) encode(ctx context.Context, rpt *report.Report, f func([]byte, *report.Report) ([]byte, error)) (data []byte, err error) {
	ctx, encoding := spans.Child(ctx, "encode")
	defer func() {
		encoding.Int(tracing.Bytes, len(data))
		encoding.End(err)
	}()
	if err := h.codings.enter(ctx); err != nil {
		return nil, err
	}
	defer h.codings.leave()
	return f(make([]byte, 0, report.Size(rpt)*5/4), rpt) // enough for either form, where it would grow to twice that
}

// sendJSON sends a small value.
func (h *Handler) sendJSON(w http.ResponseWriter, r *http.Request, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return h.send(w, r, mediaJSON, data)
}

// probe is what GET /api/probes says about one.
type probe struct {
	ID       string    `json:"id"`
	Hostname string    `json:"hostname"`
	Version  string    `json:"version"`
	LastSeen time.Time `json:"lastSeen"` // when it last told its version
}

// getProbes answers with the probes of the live window, or whether there are
// any.
func (h *Handler) getProbes(w http.ResponseWriter, r *http.Request) error {
	tenant, err := h.tenant(r)
	if err != nil {
		return err
	}
	p, err := parseParams(r.URL.RawQuery, "sparse")
	if err != nil {
		return err
	}
	sparse, err := p.flag("sparse")
	if err != nil {
		return err
	}
	if sparse {
		a, err := h.reader.has(r.Context(), tenant, h.reader.stored().soon())
		if err != nil {
			return err
		}
		tellMissing(w, a)
		return h.sendJSON(w, r, a.found)
	}
	a, err := h.now(r.Context(), tenant)
	if err != nil {
		return err
	}
	tellMissing(w, a)
	return h.sendJSON(w, r, probesOf(a.Report))
}

// probesOf returns the probes that a report's hosts name, by host.
func probesOf(r *report.Report) []probe {
	hosts := r.Topologies[report.Host].Nodes
	found := make([]probe, 0, len(hosts))
	for _, n := range hosts {
		version := latest(n, "host_scope_version")
		found = append(found, probe{ID: latest(n, "control_probe_id").Value,
			Hostname: latest(n, "host_name").Value, Version: version.Value, LastSeen: version.Timestamp})
	}
	return found
}

// details is what GET /api says.
type details struct {
	ID           string          `json:"id"`
	Version      string          `json:"version"`
	Hostname     string          `json:"hostname"`
	Plugins      []plugin        `json:"plugins,omitempty"`
	Capabilities map[string]bool `json:"capabilities"`
}

type plugin struct {
	ID          string   `json:"id"`
	Label       string   `json:"label"`
	Description string   `json:"description,omitempty"`
	Interfaces  []string `json:"interfaces"`
	APIVersion  string   `json:"api_version,omitempty"`
	Status      string   `json:"status,omitempty"`
}

// getDetails answers with who answers here. A probe does not post before it has
// read that, so it is answered also when the store fails, then without plugins.
func (h *Handler) getDetails(w http.ResponseWriter, r *http.Request) error {
	tenant, err := h.tenant(r)
	if err != nil {
		return err
	}
	d := details{ID: h.opts.ID, Version: h.opts.Version, Hostname: h.opts.Hostname,
		Capabilities: map[string]bool{"historic_reports": h.reader.stored().HasHistoricReports()}}
	a, err := h.now(r.Context(), tenant)
	if err != nil {
		h.opts.Logger.WarnContext(r.Context(), "answered /api without plugins", "err", err)
		return h.sendJSON(w, r, d)
	}
	tellMissing(w, a)
	for _, p := range a.Report.Plugins {
		d.Plugins = append(d.Plugins, plugin(p))
	}
	return h.sendJSON(w, r, d)
}

// indexPage is a page that lists what there is.
const indexPage = `<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>timeblob collector</title>
<h1>timeblob collector</h1>
<ul>
<li><a href="/api/report">/api/report</a>: the merge of the live window; probes POST here
<li><a href="/api/probes">/api/probes</a>: the probes heard of
<li><a href="/api">/api</a>: who answers here
<li><a href="/admin/">/admin/</a>: for operators, tenants and what is stored at a glance
<li><a href="/admin/summary">/admin/summary</a>: a line for each report stored lately
<li><a href="/api/wait">/api/wait</a>: answers when a probe has seen something happen
<li><a href="/metrics">/metrics</a>: for Prometheus
<li><a href="/healthz">/healthz</a>, <a href="/readyz">/readyz</a>: whether it serves, and whether it is ready to
</ul>
<p>Add <code>?window=1m</code> to /api/report and /admin/summary for another length, <code>timestamp=…</code> for the window
that ended then, RFC 3339 or Unix time, or <code>start=…&amp;end=…</code> for any range of up to 31 days.
</html>
`

func (h *Handler) getIndex(w http.ResponseWriter, r *http.Request) error {
	return h.send(w, r, mediaHTML, []byte(indexPage))
}
