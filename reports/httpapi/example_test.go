package httpapi_test

import (
	"bytes"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/httpapi"
	"github.com/timeblob/timeblob/tiered"
)

// A probe posts, and somebody asks which probes there are.
func ExampleNew() {
	c, err := reports.New(index.NewMemIndex(), new(tiered.MemTier), nil)
	if err != nil {
		log.Fatal(err)
	}
	h, err := httpapi.New(c, &httpapi.Options{TenantHeader: "X-Scope-OrgID"})
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
	// 400 parameter timestamp: "lately" is not a time from 1678 to 2262: give RFC 3339 such as 2026-11-22T07:34:30Z, or Unix seconds, milliseconds, microseconds or nanoseconds
}
