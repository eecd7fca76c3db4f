package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/remote"
)

// quiet matches the dashboard's expressions that are empty while there are no failures, or that other
// services provide.
var quiet = regexp.MustCompile(`status_code="500"|result=~"failed\|dropped"|dynamo_retries|collectors_|collector_request|nats_|shortcut_sends`)

// TestDashboardOnPrometheus scrapes a collector on real stores, and evaluates every expression of the
// dashboard in a real Prometheus until each has an answer.
func TestDashboardOnPrometheus(t *testing.T) {
	t.Parallel()
	store := onServers(servertest.SharedDynamoDBLocal)(t)
	store[len(store)-1] += "?ttl=1s" // so that the authority is asked as well
	s := serveWithin(t, append([]string{"--tick", "500ms", "--window", "5s", "--tenant-header", remote.TenantHeader,
		"--max-topology-nodes", "30", "--memory", "64KiB"}, store...)...)
	prometheus, _ := servertest.Prometheus(t, strings.TrimPrefix(s.url, "http://"))
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	work, open := worker(t, s.url), expressions(t)
	for begun := time.Now(); len(open) > 0 && time.Since(begun) < 2*time.Minute; time.Sleep(100 * time.Millisecond) {
		work()
		open = slices.DeleteFunc(open, func(a asked) bool { return a.answered(t, prometheus) })
	}
	for _, a := range open {
		t.Errorf("%s: no answer to %s", a.panel, a.expr)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d: %s", code, s.said())
	}
}

// asked is an expression of a panel.
type asked struct{ panel, expr string }

// answered reports whether Prometheus has a sensible answer. An answer that it cannot parse fails the test.
func (a asked) answered(t *testing.T, prometheus string) bool {
	t.Helper()
	values, err := evaluate(prometheus, a.expr)
	if err != nil {
		t.Fatalf("%s: %s: %v", a.panel, a.expr, err)
	}
	values = slices.DeleteFunc(values, math.IsNaN) // rates of what did not happen in these seconds
	if a.panel == "Hit ratios" && slices.ContainsFunc(values, func(v float64) bool { return v < 0 || v > 1 }) {
		return false // Prometheus extrapolates each counter by itself when samples are few
	}
	return len(values) > 0 || quiet.MatchString(a.expr)
}

// worker returns a function in which the probes of two tenants post and ask. Some of these requests are
// refused.
func worker(t *testing.T, collector string) func() {
	t.Helper()
	dir := t.TempDir()
	small, large := filepath.Join(dir, "small.msgpack.gz"), filepath.Join(dir, "large.msgpack.gz")
	write(t, small, sample("small", 20))
	write(t, large, sample("large", 200))
	begun := time.Now()
	return func() {
		must(t, "push", "--to", collector, "--tenant", "acme", small)
		must(t, "push", "--to", collector, "--tenant", "other", large)
		now := time.Now()
		for _, target := range []string{"/api/report", "/api/probes", fmt.Sprintf("/api/report?start=%d&end=%d", begun.Unix(), now.Unix()),
			fmt.Sprintf("/api/report?start=%d&end=%d", now.UnixMilli()-4500, now.UnixMilli()-2000)} {
			if status := request(t, http.MethodGet, collector+target, "acme"); status != http.StatusOK {
				t.Fatalf("%s: status %d", target, status)
			}
		}
		if status := request(t, http.MethodPost, collector+"/api/report", "acme"); status != http.StatusBadRequest {
			t.Fatalf("an empty post: status %d", status)
		}
	}
}

// request returns the status of an answer.
func request(t *testing.T, method, target, tenant string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(remote.TenantHeader, tenant)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// expressions returns the expressions of the dashboard's panels, with every collector selected.
func expressions(t *testing.T) (all []asked) {
	t.Helper()
	text, err := os.ReadFile("../../ops/grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "20s", "$job", ".+", "$instance", ".+")
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			all = append(all, asked{p.Title, variables.Replace(target.Expr)})
		}
	}
	return all
}

// evaluate returns the current values of an expression.
func evaluate(prometheus, expr string) ([]float64, error) {
	resp, err := http.Get(prometheus + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []struct{ Value [2]any } }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	var values []float64
	for _, r := range answer.Data.Result {
		v, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}
