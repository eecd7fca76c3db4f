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
)

// quiet are the expressions of the dashboard that are empty while all is well.
var quiet = regexp.MustCompile(`status_code="500"|result=~"failed\|dropped"|dynamo_retries|s3_hedges`)

// TestDashboardOnPrometheus scrapes a collector that works on real stores, and
// asks a real Prometheus everything that the dashboard does.
func TestDashboardOnPrometheus(t *testing.T) {
	t.Parallel()
	store := onServers(servertest.SharedDynamoDBLocal)(t)
	s := serveWithin(t, append([]string{"--tick", "500ms", "--window", "5s", "--tenant-header", scopeHeader,
		"--max-topology-nodes", "30", "--memory", "64KiB"}, store...)...)
	prometheus, _ := servertest.Prometheus(t, strings.TrimPrefix(s.url, "http://"))
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	work(t, s.url, 15*time.Second)
	for title, exprs := range panelExpressions(t) {
		for _, expr := range exprs {
			values, err := evaluate(prometheus, expr)
			switch {
			case err != nil:
				t.Errorf("%s: %s: %v", title, expr, err)
			case len(values) == 0 && !quiet.MatchString(expr):
				t.Errorf("%s: nothing for %s", title, expr)
			case title == "Hit ratios" && slices.ContainsFunc(values, func(v float64) bool { return v < 0 || v > 1 }):
				t.Errorf("%s: %v", expr, values)
			case title == "Time to take a post" && math.IsNaN(values[0]):
				t.Errorf("%s is not a number", expr)
			}
		}
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d: %s", code, s.said())
	}
}

// work lets two tenants' probes post, and asks for what they posted, for a
// while; among it what is refused.
func work(t *testing.T, collector string, length time.Duration) {
	t.Helper()
	dir := t.TempDir()
	small, large := filepath.Join(dir, "small.msgpack.gz"), filepath.Join(dir, "large.msgpack.gz")
	write(t, small, sample("small", 20))
	write(t, large, sample("large", 200))
	for begun := time.Now(); time.Since(begun) < length; time.Sleep(100 * time.Millisecond) {
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
	r.Header.Set(scopeHeader, tenant)
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

// panelExpressions returns what the dashboard's panels ask, by their titles,
// as Grafana would with every collector chosen.
func panelExpressions(t *testing.T) map[string][]string {
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
	variables := strings.NewReplacer("$__rate_interval", "10s", "$job", ".+", "$instance", ".+")
	found := make(map[string][]string)
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			found[p.Title] = append(found[p.Title], variables.Replace(target.Expr))
		}
	}
	return found
}

// evaluate asks Prometheus for the values of an expression now.
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
