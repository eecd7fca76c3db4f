package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
)

// metricOf returns the value of a metric with one series.
func metricOf(t *testing.T, text, name string) int64 {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + name + `(?:\{[^}]*\})? (\S+)$`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no metric %s", name)
	}
	return int64(must1(strconv.ParseFloat(found[1], 64)))
}

// tags matches the tags of HTML.
var tags = regexp.MustCompile(`<[^>]*>`)

// TestUnitsReadTheSame checks that the command, the page and the metrics tell the same sizes and counts of the same
// reports: metrics in bytes, the others in the same words.
func TestUnitsReadTheSame(t *testing.T) {
	t.Parallel()
	s := serveWithin(t, append(embedded(t), "--tick", "100ms", "--max-pending", "1536MiB")...)
	files := goldentest.Files(t, "k8s-node/*")[:3]
	var sent int64
	for _, path := range files {
		sent += must1(os.Stat(path)).Size()
	}
	pushed := must(t, append([]string{"push", "--to", s.url}, files...)...)
	var counted, page string
	servertest.Eventually(t, "all is stored and the page is of the same moment as the metrics", func() bool {
		counted = metrics(t, s.url)
		_, page = fetch(t, s.url+"/admin/")
		later := metrics(t, s.url)
		same := func(name string) bool { return metricOf(t, counted, name) == metricOf(t, later, name) }
		return metricOf(t, counted, "scope_pending_bytes") == 0 && metricOf(t, counted, "scope_reports_stored_total") > 0 &&
			same("scope_reports_stored_total") && same("scope_reports_bytes_total")
	})
	shown := strings.Join(strings.Fields(tags.ReplaceAllString(page, " ")), " ")

	if n, size := metricOf(t, counted, "scope_reports_received_total"), metricOf(t, counted, "scope_reports_received_bytes_total"); n != 3 || size != sent {
		t.Errorf("the metrics have %d reports of %d bytes, want 3 of %d", n, size, sent)
	}
	if want := fmt.Sprintf("pushed 3 reports, %s, in ", human.Bytes(sent)); !strings.HasPrefix(pushed, want) {
		t.Errorf("push says %q, want %q", pushed, want)
	}
	stored := fmt.Sprintf("%d · %s", metricOf(t, counted, "scope_reports_stored_total"), human.Bytes(metricOf(t, counted, "scope_reports_bytes_total")))
	limit := human.Bytes(metricOf(t, counted, "scope_pending_limit_bytes"))
	for _, want := range []string{"3 · " + human.Bytes(sent), stored, "0 B of " + limit} {
		if !strings.Contains(shown, want) {
			t.Errorf("the page does not show %q: %s", want, shown)
		}
	}
	if limit != "1.5 GiB" {
		t.Errorf("the limit is %s", limit)
	}
	if took := pushed[strings.LastIndex(pushed, "in "):]; !regexp.MustCompile(`^in \d+ (ms|s|min \d+ s)\n$`).MatchString(took) {
		t.Errorf("push took %q, which is not how the page writes durations", took)
	}
	if said := must(t, "query", "--from", s.url, "--start", "-1h", "--end", "+1h"); !strings.Contains(said, "(2 h)") {
		t.Errorf("query does not say (2 h): %s", said)
	}
}
