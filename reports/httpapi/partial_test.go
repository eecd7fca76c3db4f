package httpapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/tiered"
)

// TestPartialAnswers loses stored reports: an answer about them is an error that
// names one or, where the question allows it, lacks them and names them in a
// header of bounded length. Collectors and query services agree.
func TestPartialAnswers(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, func(o *reports.Options, qo *querierOptions, _ *cluster) {
		o.Store.Memory, o.Live.Past.CacheBytes = -1, -1 // nothing stays in memory
		qo.Store.Memory, qo.Past.CacheBytes = -1, -1
	})
	for i := range 30 {
		c.add(t, 0, "a", hosts(fmt.Sprintf("h%d", i)))
		c.flush(t, 0)
		c.clock.Advance(time.Second)
	}
	entries, err := c.collectors[0].Activity(t.Context(), "a", noon)
	if err != nil || len(entries.Stored) != 30 {
		t.Fatalf("%d entries: %v", len(entries.Stored), err)
	}
	var keys []string
	for _, e := range entries.Stored {
		keys = append(keys, e.Key)
	}
	authority := c.authority.(*tiered.MemTier)
	for _, lost := range []int{0, 2, 29} {
		if err := authority.Delete(t.Context(), keys[:lost]); err != nil {
			t.Fatal(err)
		}
		for name, h := range map[string]http.Handler{"collector": c.collectors[0].handler, "query service": c.handler} {
			t.Run(fmt.Sprintf("%s without %d", name, lost), func(t *testing.T) {
				checkPartial(t, h, keys, lost)
			})
		}
	}
}

// checkPartial asks for reports after the first ones were lost.
func checkPartial(t *testing.T, h http.Handler, keys []string, lost int) {
	get := func(params, asker string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/api/report?start=2026-11-22T12:00:00Z&end=2026-11-22T12:00:30Z"+params, nil)
		r.Header.Set(tenantHeader, "a")
		r.Header.Set("Accept", mediaMsgpack)
		r.Header.Set("Timeblob-Question", asker)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	if w := get("&partial=maybe", ""); w.Code != 400 {
		t.Errorf("neither true nor false: %d", w.Code)
	}
	if w := get("", ""); lost > 0 && (w.Code != 500 || !strings.Contains(w.Body.String(), keys[0])) {
		t.Errorf("exact: %d %s", w.Code, w.Body)
	}
	w := get("&partial=true", "")
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	header := w.Header().Get("Timeblob-Missing")
	if w := get("", "a query service"); w.Code != 200 || w.Header().Get("Timeblob-Missing") != header {
		t.Errorf("a query service, which may always have a partial answer, gets %d and %q", w.Code, w.Header().Get("Timeblob-Missing"))
	}
	var names []string
	if header != "" {
		names = strings.Split(header, ", ")
	}
	if lost > 20 && names[len(names)-1] == fmt.Sprintf("and %d more", lost-20) {
		names = names[:20]
	}
	if len(names) != min(lost, 20) {
		t.Fatalf("%d are missing: %s", lost, header)
	}
	for i, n := range names {
		if !strings.HasPrefix(n, "entry "+keys[i]+" of 2026-11-22T12:00:") {
			t.Errorf("missing %s, want %s", n, keys[i])
		}
	}
	r, err := wire.DecodeMsgpack(w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.Topologies[report.Host].Nodes); n != len(keys)-lost {
		t.Errorf("%d hosts of %d", n, len(keys)-lost)
	}
}
