package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/internal/tracing"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/peers"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// getReport answers with the merge of a window.
func (h *Handler) getReport(w http.ResponseWriter, r *request) error {
	tenant, err := r.Tenant()
	if err != nil {
		return err
	}
	p, err := parseParams(r.URL.RawQuery, append(censorParams, rangeParams...)...)
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
	if q.Partial, err = p.flag("partial"); err != nil {
		return err
	}
	if q.Round, err = p.flag("round"); err != nil {
		return err
	}
	q.Partial = q.Partial || peers.Asks(r.Header)
	a, err := h.reader.Ask(r.Context(), tenant, q)
	if err != nil {
		return err
	}
	setMissing(w, a)
	setRange(w, a)
	if h.collector != nil && q.Open && !q.Ranged {
		peers.EchoLive(w.Header(), r.Header, tenant)
	}
	return h.sendReport(w, r, censor.of(a.Report))
}

// headerMissing names what an answer lacks, as [reports.Answer.Missing] does, with
// commas between. Complete answers do not have it. Scope does not know it.
const headerMissing = "Timeblob-Missing"

// maxMissing bounds the names in headerMissing. "and N more" stands for the rest.
const maxMissing = 20

func setMissing(w http.ResponseWriter, a reports.Answer) {
	names := a.Missing
	if more := len(names) - maxMissing; more > 0 {
		names = append(slices.Clone(names[:maxMissing]), fmt.Sprintf("and %d more", more))
	}
	if len(names) > 0 {
		w.Header().Set(headerMissing, human.Flat(strings.Join(names, ", ")))
	}
}

// headerRange is the range of an answer that was asked to round: its begin and its
// end, which it does not contain, in RFC 3339 with a slash between.
const headerRange = "Timeblob-Range"

func setRange(w http.ResponseWriter, a reports.Answer) {
	if !a.To.IsZero() {
		w.Header().Set(headerRange, human.Stamp(a.From)+"/"+human.Stamp(a.To))
	}
}

// now returns the answer about now.
func (h *Handler) now(ctx context.Context, tenant string) (reports.Answer, error) {
	return h.reader.Ask(ctx, tenant, reports.Question{To: h.reader.Stored().AfterNow()})
}

// sendReport sends a report in the form that the client prefers.
func (h *Handler) sendReport(w http.ResponseWriter, r *request, rpt *report.Report) error {
	media, encode := mediaJSON, wire.AppendJSON
	if wantsMsgpack(r.Header) {
		media, encode = mediaMsgpack, wire.AppendMsgpack
	}
	size := encodedSize(rpt)
	data, sent, err := h.encode(r.Context(), size, func() ([]byte, error) { return encode(make([]byte, 0, size), rpt) })
	if err != nil {
		return err
	}
	defer sent()
	w.Header().Add("Vary", "Accept")
	h.write(w, r, media, data)
	return nil
}

// encodedSize returns a length that is enough for a report in either form, so that a buffer need not grow.
func encodedSize(rpt *report.Report) int64 { return report.Size(rpt) * 5 / 4 }

// encode encodes an answer of about size bytes when a slot is free. The bytes count as buffered before they are
// made, and until the caller calls sent.
func (h *Handler) encode(ctx context.Context, size int64, f func() ([]byte, error)) (data []byte, sent func(), err error) {
	ctx, encoding := spans.Child(ctx, "encode")
	defer func() {
		encoding.Int(tracing.Bytes, len(data))
		encoding.End(err)
	}()
	if err := h.codings.enter(ctx); err != nil {
		return nil, nil, err
	}
	defer h.codings.leave()
	if !h.buffered.reserve(size) {
		return nil, nil, errAnswers
	}
	made := false
	defer func() {
		if !made { // f may have panicked
			h.buffered.give(size)
		}
	}()
	if data, err = f(); err != nil {
		return nil, nil, err
	}
	made = true
	return data, func() { h.buffered.give(size) }, nil
}

// probe is one probe in the answer of GET /api/probes.
type probe struct {
	ID       string    `json:"id"`
	Hostname string    `json:"hostname"`
	Version  string    `json:"version"`
	LastSeen time.Time `json:"lastSeen"` // when it last reported its version
}

// getProbes answers with the probes of the live window or, if sparse, with whether
// there are any.
func (h *Handler) getProbes(w http.ResponseWriter, r *request) error {
	tenant, err := r.Tenant()
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
		a, err := h.reader.Ask(r.Context(), tenant, reports.Question{To: h.reader.Stored().AfterNow(), OnlyFound: true})
		if err != nil {
			return err
		}
		setMissing(w, a)
		return h.sendJSON(w, r, a.Found)
	}
	a, err := h.now(r.Context(), tenant)
	if err != nil {
		return err
	}
	setMissing(w, a)
	return h.sendJSON(w, r, probesOf(a.Report))
}

// probesOf returns the probes of a report's hosts, in the order of the hosts.
func probesOf(r *report.Report) []probe {
	hosts := r.Topologies[report.Host].Nodes
	found := make([]probe, 0, len(hosts))
	for _, n := range hosts {
		version := n.LatestOf("host_scope_version")
		found = append(found, probe{ID: n.LatestOf("control_probe_id").Value,
			Hostname: n.LatestOf("host_name").Value, Version: version.Value, LastSeen: version.Timestamp.Time()})
	}
	return found
}

// details is the answer of GET /api.
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

// getDetails answers with the ID and the version of this collector. A probe does
// not post before it has the answer, so a failing store must not prevent it: the
// answer then lacks the plugins.
func (h *Handler) getDetails(w http.ResponseWriter, r *request) error {
	tenant, err := r.Tenant()
	if err != nil {
		return err
	}
	d := details{ID: h.opts.ID, Version: h.opts.Version, Hostname: h.opts.Hostname,
		Capabilities: map[string]bool{"historic_reports": h.reader.Stored().HasHistoricReports()}}
	a, err := h.now(r.Context(), tenant)
	if err != nil {
		h.opts.Logger.WarnContext(r.Context(), "answered /api without plugins", "err", err)
		return h.sendJSON(w, r, d)
	}
	setMissing(w, a)
	for _, p := range a.Report.Plugins {
		d.Plugins = append(d.Plugins, plugin(p))
	}
	return h.sendJSON(w, r, d)
}

// indexPage lists the paths. Its argument is the length of the longest range.
const indexPage = `<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>timeblob collector</title>
<h1>timeblob collector</h1>
<ul>
<li><a href="/api/report">/api/report</a>: the merge of the live window; probes POST here
<li><a href="/api/probes">/api/probes</a>: the probes in the live window
<li><a href="/api">/api</a>: the ID and version of this collector
<li><a href="/admin/">/admin/</a>: the operators' page, with tenants and what is stored
<li><a href="/admin/summary">/admin/summary</a>: a line for each report that was stored in the window
<li><a href="/api/wait">/api/wait</a>: answers as soon as a probe sends a shortcut report
<li><a href="/metrics">/metrics</a>: metrics for Prometheus
<li><a href="/healthz">/healthz</a>, <a href="/readyz">/readyz</a>: whether the process serves, and whether it is ready
</ul>
<p>Add <code>?window=1m</code> to /api/report and /admin/summary for another length, <code>timestamp=…</code> for the window
that ended at a time (RFC 3339 or Unix time), or <code>start=…&amp;end=…</code> for a range of up to %s.
</html>
`

func (h *Handler) getIndex(w http.ResponseWriter, r *request) error {
	return h.send(w, r, mediaHTML, fmt.Appendf(nil, indexPage, human.Duration(h.opts.MaxRange)))
}
