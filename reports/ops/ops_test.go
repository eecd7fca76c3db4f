// Package ops_test checks what is given to operators: grafana/dashboard.json, and prometheus/alerts.yml
// with the tests beside it.
package ops_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/internal/servertest"
)

const alertsFile = "prometheus/alerts.yml"

// dashboard is what the tests look at of grafana/dashboard.json.
type dashboard struct {
	Title, UID string
	Panels     []panel
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
	Annotations struct{ List []struct{ Expr string } }
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               struct{ Type, UID string }
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []struct{ RefID, Expr, LegendFormat string }
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile("grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDashboard checks that Grafana can show it. Panels have ids of their own and
// places that do not overlap, and take their data from the source that is
// chosen; every target asks for something, and variables that are used are
// there.
func TestDashboard(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	if d.Title == "" || d.UID == "" || len(d.Panels) < 30 {
		t.Fatalf("dashboard %q, %q of %d panels", d.Title, d.UID, len(d.Panels))
	}
	ids := make(map[int]bool)
	taken := make(map[[2]int]string)
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %d %q: its id is taken, or a title is missing", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, breach := range p.breaches(taken) {
			t.Errorf("panel %d %q: %s", p.ID, p.Title, breach)
		}
	}
	variables := make(map[string]string)
	for _, v := range d.Templating.List {
		variables[v.Name] = v.Type
	}
	if variables["datasource"] != "datasource" || variables["job"] != "query" || variables["instance"] != "query" {
		t.Errorf("variables %v", variables)
	}
}

// breaches says what is wrong with a panel, and takes its place.
func (p panel) breaches(taken map[[2]int]string) (found []string) {
	g := p.GridPos
	if g.X < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
		found = append(found, fmt.Sprintf("its place %v is out of the grid", g))
	}
	for x := g.X; x < g.X+g.W; x++ {
		for y := g.Y; y < g.Y+g.H; y++ {
			if other := taken[[2]int{x, y}]; other != "" {
				return append(found, "it covers "+other)
			}
			taken[[2]int{x, y}] = p.Title
		}
	}
	if p.Type == "row" {
		return found
	}
	if p.Description == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
		found = append(found, "a description, its data source or targets are missing")
	}
	var refs []string
	for _, target := range p.Targets {
		if target.Expr == "" || slices.Contains(refs, target.RefID) || len(p.Targets) > 1 && target.LegendFormat == "" {
			found = append(found, fmt.Sprintf("target %q asks for nothing, or is like another", target.RefID))
		}
		if !strings.Contains(target.Expr, `job=~"$job",instance=~"$instance"`) {
			found = append(found, fmt.Sprintf("target %q is not of the chosen collectors", target.RefID))
		}
		refs = append(refs, target.RefID)
	}
	return found
}

var alert = regexp.MustCompile(`(?m)^ +- alert: (\w+)$`)

// TestAlerts checks that every alert says what is wrong and what to do, and its
// tests have a case in which it fires and one in which it does not.
func TestAlerts(t *testing.T) {
	t.Parallel()
	text, tests := readFile(t, alertsFile), readFile(t, "prometheus/alerts_test.yml")
	starts := alert.FindAllStringSubmatchIndex(text, -1)
	if len(starts) < 10 {
		t.Fatalf("%d alerts", len(starts))
	}
	for i, at := range starts {
		name, end := text[at[2]:at[3]], len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		for _, part := range []string{"expr: ", "for: ", "labels: {severity: ", "summary: ", "action: "} {
			if !strings.Contains(text[at[0]:end], part) {
				t.Errorf("alert %s has no %s", name, part)
			}
		}
		for _, which := range []string{"fires", "does not"} {
			if !strings.Contains(tests, "name: "+name+" "+which+"\n") {
				t.Errorf("alert %s has no test in which it %s", name, which)
			}
		}
	}
}

// TestPromtool checks that Prometheus takes the alerts, and they pass their tests.
func TestPromtool(t *testing.T) {
	t.Parallel()
	promtool := servertest.Program(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = filepath.Dir(alertsFile)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "SUCCESS") {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
