package reports_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

// A collector takes a report, stores it, and answers for a past window.
func ExampleNew() {
	ctx := context.Background()
	now := time.Date(2026, 11, 22, 7, 34, 30, 0, time.UTC)
	c, err := reports.New(index.NewMemIndex(), new(tiered.MemTier), &reports.Options{Now: func() time.Time { return now }})
	if err != nil {
		log.Fatal(err)
	}
	r := report.New()
	r.Topologies[report.Host].Nodes = []*report.Node{{ID: "db-1;<host>"}}
	if err := c.Add(ctx, "acme", r, reports.Origin{}); err != nil {
		log.Fatal(err)
	}
	if err := c.Flush(ctx); err != nil { // Run does it every tick
		log.Fatal(err)
	}
	past, err := c.Range(ctx, "acme", now.Add(-time.Minute), now.Add(time.Second))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Summary(past))
	fmt.Println(c.Close(ctx))
	// Output:
	// db-1;<host>: host:1
	// <nil>
}

// A probe posts, and somebody asks which probes there are.
func ExampleNewHandler() {
	c, err := reports.New(index.NewMemIndex(), new(tiered.MemTier), nil)
	if err != nil {
		log.Fatal(err)
	}
	h, err := reports.NewHandler(c, &reports.HandlerOptions{TenantHeader: "X-Scope-OrgID"})
	if err != nil {
		log.Fatal(err)
	}
	ask := func(method, target, body string) {
		r := httptest.NewRequest(method, target, bytes.NewBufferString(body))
		r.Header.Set("X-Scope-OrgID", "acme")
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(strings.TrimSpace(fmt.Sprintln(w.Code, w.Body)))
	}
	ask(http.MethodPost, "/api/report", `{"Host": {"nodes": {"db-1;<host>": {"latest": {
		"host_name":          {"timestamp": "2026-11-22T07:34:30Z", "value": "db-1"},
		"host_scope_version": {"timestamp": "2026-11-22T07:34:30Z", "value": "1.13.2"}}}}}}`)
	ask(http.MethodGet, "/api/probes", "")
	ask(http.MethodGet, "/api/report?timestamp=lately", "")
	// Output:
	// 200
	// 200 [{"id":"","hostname":"db-1","version":"1.13.2","lastSeen":"2026-11-22T07:34:30Z"}]
	// 400 parameter timestamp: no time from 1678 to 2262: "lately": give RFC 3339 such as 2026-11-22T07:34:30Z, or Unix seconds, milliseconds, microseconds or nanoseconds
}
