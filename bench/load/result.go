package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/timeblob/timeblob/internal/human"
)

// Siege is the result of a run with posts and questions.
type Siege struct {
	Tenants, Nodes  int // nodes of each tenant
	Every, Duration time.Duration
	Questions       float64 // a second

	Posts, Live, Past Latency // Live are questions about now, Past about earlier windows
	Skipped           int64   // posts and questions that were skipped because too many were under way
	Flushes           []Flush

	Samples    []Sample
	MaxPending int64   // bytes
	Growth     float64 // of RSS over the last flatOver of the run, or all of it, as a fraction
	CPU        float64 // processors that the collector kept busy
	Missed     int     // failed reads of the metrics

	Received, Posted    int   // reports, as counted by the collector and by the clients
	Stored, StoredBytes int64 // merged reports, and their blobs' bytes
	DiskBytes           int64 // that the collector had the disk write; 0 if unknown
	Check               Check
	Outage              *Outage `json:",omitempty"` // of the bucket
}

// Flush is the duration of one step of flushes, in seconds.
type Flush struct {
	Step     string
	Count    int
	P50, P99 float64
}

// flatOver is the time at the end during which memory should not grow.
const flatOver = 3 * time.Minute

func (s *siege) sum(w *watcher, check Check, disk int64) *Siege {
	last := w.now()
	r := &Siege{Tenants: s.opts.tenants, Nodes: s.opts.nodes, DiskBytes: disk, Every: s.opts.every, Duration: s.opts.duration, Questions: s.opts.questions,
		Posts: s.posts.sum(), Live: s.live.sum(), Past: s.past.sum(), Skipped: s.skipped.Load(),
		Samples: w.samples, Growth: growth(w.samples, flatOver), Missed: w.missed,
		CPU: (last.CPUSeconds - w.samples[0].CPUSeconds) / (last.At - w.samples[0].At).Seconds(), Check: check}
	for _, sample := range w.samples {
		r.MaxPending = max(r.MaxPending, sample.Pending)
	}
	for _, step := range w.last.steps() {
		h := w.last.flushes(step, w.first)
		r.Flushes = append(r.Flushes, Flush{step, int(h.total()), h.quantile(0.5), h.quantile(0.99)})
	}
	const received = "scope_reports_received_total"
	r.Received, r.Posted = int(w.last.get(received)-w.first.get(received)), r.Posts.Count
	r.Stored, r.StoredBytes = int64(w.last.get("scope_reports_stored_total")), int64(w.last.get("scope_reports_bytes_total"))
	return r
}

// verdict returns what was lost or refused; nil for nothing.
func (r *Siege) verdict() error {
	var wrong []error
	for name, l := range map[string]Latency{"posts": r.Posts, "questions about now": r.Live, "questions about the past": r.Past} {
		if n := l.failures(); n > 0 && (r.Outage == nil || name != "questions about the past") { // they need the bucket
			wrong = append(wrong, fmt.Errorf("%d %s failed", n, name))
		}
	}
	if r.Received < r.Posted {
		wrong = append(wrong, fmt.Errorf("the collector counts %d reports of %d posted", r.Received, r.Posted))
	}
	if err := r.Outage.verdict(); err != nil {
		wrong = append(wrong, err)
	}
	for _, fault := range r.Check.Faults {
		wrong = append(wrong, errors.New(fault))
	}
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(wrong...)
}

// write writes the result for people.
func (r *Siege) write(w io.Writer) error {
	fmt.Fprintf(w, "%d tenants of %d nodes, a report every %v each, %g questions a second, %v\n\n", r.Tenants, r.Nodes, r.Every, r.Questions, r.Duration)
	t := table{{"", "COUNT", "FAILED", "P50", "P99", "MAX"}}
	t.latency("POST", r.Posts)
	t.latency("GET now", r.Live)
	t.latency("GET past", r.Past)
	for _, f := range r.Flushes {
		t.row("flush: "+f.Step, fmt.Sprint(f.Count), "", short(seconds(f.P50)), short(seconds(f.P99)), "")
	}
	t.write(w)
	for _, l := range []Latency{r.Posts, r.Live, r.Past} {
		l.writeFailures(w)
	}
	fmt.Fprintln(w)
	writeMemory(w, r.Samples)
	t = table{{"RSS grew", fmt.Sprintf("by %.1f %% over the last %v", 100*r.Growth, min(flatOver, r.Duration))},
		{"pending, at most", human.Bytes(r.MaxPending)},
		{"stored", fmt.Sprintf("%d values, %s; the disk was written %s", r.Stored, human.Bytes(r.StoredBytes), human.Bytes(r.DiskBytes))},
		{"processors", fmt.Sprintf("%.2f busy", r.CPU)},
		{"skipped", fmt.Sprint(r.Skipped)},
		{"checked", r.Check.String()}}
	t.write(w)
	r.Outage.write(w)
	return nil
}

func (c Check) String() string {
	if len(c.Faults) > 0 {
		return fmt.Sprintf("%d tenants: %d faults", c.Tenants, len(c.Faults))
	}
	return fmt.Sprintf("%d tenants: all of %d posts are answered", c.Tenants, c.Posts)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
