package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/internal/reportstest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/tiered"
)

// clocked is an index in memory whose store has the clock of a test.
type clocked struct {
	*index.MemIndex
	clock *reportstest.Clock
}

func (x clocked) StoreTime() time.Time { return x.clock.Now() }

// TestRound asks about ranges that begin or end inside a minute that only
// has its roll-up left. Collectors and query services agree.
func TestRound(t *testing.T) {
	t.Parallel()
	levels := &bucket.LevelOptions{Owned: true, Spans: []time.Duration{time.Minute}, Lateness: time.Second, Build: bucket.BuildAsked,
		Retention: []bucket.Retention{{Keep: time.Hour}, {Level: time.Minute, Keep: 1000 * time.Hour}}}
	c := newCluster(t, 1, func(o *reports.Options, qo *querierOptions, c *cluster) {
		c.index = clocked{index.NewMemIndex(), c.clock}
		o.Live.Past.Levels, qo.Past.Levels = levels, levels
	})
	for _, host := range []string{"h1", "h2", "h3", "h4"} { // the last one comes a minute later
		c.add(t, 0, "a", hosts(host))
		c.flush(t, 0)
		c.clock.Advance(25 * time.Second)
	}
	c.clock.Advance(2 * time.Minute)
	rollUp(t, c, levels)
	c.clock.Advance(2 * time.Hour)
	for name, h := range map[string]http.Handler{"collector": c.collectors[0].handler, "query service": c.handler} {
		t.Run(name, func(t *testing.T) {
			checkRound(t, h)
		})
	}
}

// rollUp builds the roll-ups of tenant a.
func rollUp(t *testing.T, c *cluster, levels *bucket.LevelOptions) {
	t.Helper()
	values, err := tiered.New(wire.Codec{}, c.authority, &tiered.Options[*report.Report]{Memory: -1})
	if err != nil {
		t.Fatal(err)
	}
	past, err := bucket.NewQuantizer(c.index, values, report.Merge, &bucket.QuantizerOptions[*report.Report]{Levels: levels, Now: c.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	done, err := past.RollUp(t.Context(), "a", noon, c.clock.Now(), nil)
	if err != nil || done.Built == 0 {
		t.Fatalf("built %+v: %v", done, err)
	}
	if err := values.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func checkRound(t *testing.T, h http.Handler) {
	get := func(params string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/api/report?start=2026-11-22T12:00:10Z&end=2026-11-22T12:00:40Z"+params, nil)
		r.Header.Set(tenantHeader, "a")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	w := get("")
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "2026-11-22T12:00:00Z") || !strings.Contains(w.Body.String(), "2026-11-22T12:01:00Z") {
		t.Errorf("the exact range: %d %s", w.Code, w.Body)
	}
	w = get("&round=true")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "h1;") || !strings.Contains(w.Body.String(), "h3;") ||
		strings.Contains(w.Body.String(), "h4;") {
		t.Errorf("rounded: %d %.200s", w.Code, w.Body)
	}
	if got, want := w.Header().Get(headerRange), "2026-11-22T12:00:00.000000000Z/2026-11-22T12:01:00.000000000Z"; got != want {
		t.Errorf("rounded to %q, want %q", got, want)
	}
	if w = get("&round=maybe"); w.Code != http.StatusBadRequest {
		t.Errorf("round=maybe: %d", w.Code)
	}
}
