package ops_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/journal"
	"github.com/timeblob/timeblob/memcache"
	"github.com/timeblob/timeblob/natsbus"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/httpapi"
	"github.com/timeblob/timeblob/reports/peers"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/tenants"
	"github.com/timeblob/timeblob/s3blob"
	"github.com/timeblob/timeblob/tiered"
)

// known are the metrics that a collector can have, with their labels. Histograms have three names each.
type known map[string][]string

// Register implements prometheus.Registerer, and looks at what is registered.
func (k known) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 1000)
	c.Describe(descs)
	close(descs)
	_, vector := c.(*prometheus.HistogramVec)
	_, single := c.(prometheus.Histogram)
	for d := range descs {
		parts := described.FindStringSubmatch(d.String())
		name, labels := parts[1], strings.FieldsFunc(parts[2], func(r rune) bool { return r == ',' || r == ' ' })
		if !vector && !single {
			k[name] = labels
			continue
		}
		k[name+"_count"], k[name+"_sum"] = labels, labels
		k[name+"_bucket"] = append(slices.Clone(labels), "le")
	}
	return nil
}

var described = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)

func (k known) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := k.Register(c); err != nil {
			panic(err)
		}
	}
}

func (known) Unregister(prometheus.Collector) bool { return false }

// everything returns the metrics of a collector with all drivers. They send no requests here.
func everything(t *testing.T) known {
	t.Helper()
	const namespace = "scope"
	k := known{"up": nil}
	k.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	cfg := aws.Config{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("key", "secret", "")}
	idx, err := dynamoindex.New(cfg, "reports", &dynamoindex.Options{Registerer: k, Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = idx.Close() })
	blobs, err := s3blob.Open(cfg, "reports", &s3blob.Options{Registerer: k, Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = blobs.Close() })
	cache, err := memcache.Open(context.Background(), memcache.List("127.0.0.1:1"), &memcache.Options{Registerer: k, Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close() })
	kept, err := journal.Open(t.TempDir(), &journal.Options{Registerer: k, Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kept.Close() })
	c, err := reports.New(index.NewMemIndex(), blobs, &reports.Options{Registerer: k, Namespace: namespace,
		Store: tiered.Options[*report.Report]{Caches: []tiered.Cache{{Name: "memcached", Tier: cache}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := httpapi.New(c, &httpapi.Options{Registerer: k, Namespace: namespace}); err != nil {
		t.Fatal(err)
	}
	k.services(t, blobs)
	return k
}

// services adds the metrics of a query service, of NATS and of tenants' tokens.
func (k known) services(t *testing.T, blobs tiered.Tier) {
	t.Helper()
	list, err := peers.Parse("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	set, err := peers.New(list, &peers.Options{Registerer: k})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reports.NewQuerier(index.NewMemIndex(), blobs, set, &reports.QuerierOptions{Registerer: k}); err != nil {
		t.Fatal(err)
	}
	bus, err := natsbus.Open("nats://127.0.0.1:1", &natsbus.Options{Registerer: k, Namespace: "scope"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	file := filepath.Join(t.TempDir(), "tenants")
	if err := os.WriteFile(file, []byte("acme rate=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tenants.Open(file, &tenants.Options{Registerer: k, Namespace: "scope"}); err != nil {
		t.Fatal(err)
	}
}

var (
	metricName = regexp.MustCompile(`\b(?:up|(?:scope|process|go)_\w+)\b`)
	matchers   = regexp.MustCompile(`\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`(\w+)(?:=~|!~|!=|=)`)
	grouping   = regexp.MustCompile(`\b(?:by|on|without)\s*\(([^)]*)\)`)
)

// unknown returns what an expression asks for that no collector has: metrics,
// and labels that none of its metrics has.
func (k known) unknown(expr string) (found []string) {
	labels := []string{"job", "instance"}
	for _, name := range metricName.FindAllString(expr, -1) {
		has, ok := k[name]
		if !ok {
			found = append(found, "metric "+name)
		}
		labels = append(labels, has...)
	}
	var used []string
	for _, m := range matchers.FindAllStringSubmatch(expr, -1) {
		for _, label := range matcher.FindAllStringSubmatch(quoted.ReplaceAllString(m[1], `""`), -1) {
			used = append(used, label[1])
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		used = append(used, strings.FieldsFunc(g[1], func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	for _, label := range used {
		if !slices.Contains(labels, label) {
			found = append(found, "label "+label)
		}
	}
	return found
}

var quoted = regexp.MustCompile(`"[^"]*"`)

// documented finds the metrics that a document names. It names a histogram without the ends of its series.
var documented = regexp.MustCompile(`\bscope_\w+`)

// TestDocumentsNameMetricsThatExist checks the metrics that are named in documents.
func TestDocumentsNameMetricsThatExist(t *testing.T) {
	t.Parallel()
	k := everything(t)
	for _, path := range []string{"../../README.md", "../OPERATIONS.md"} {
		for _, name := range documented.FindAllString(readFile(t, path), -1) {
			if k[name] == nil && k[name+"_count"] == nil {
				t.Errorf("%s names %s, which no collector has", path, name)
			}
		}
	}
}

// TestNames checks that what dashboard and alerts ask for is there.
func TestNames(t *testing.T) {
	t.Parallel()
	k := everything(t)
	if len(k) < 60 {
		t.Fatalf("%d metrics are known", len(k))
	}
	for _, expr := range expressions(t) {
		for _, what := range k.unknown(expr) {
			t.Errorf("no collector has the %s of %s", what, expr)
		}
	}
	for expr, want := range map[string]int{
		`up == 0`: 0, `scope_no_such_total`: 1, `scope_tier_hits_total{tier="a",kind="b"}`: 1, `sum by (user) (scope_pending_bytes)`: 1,
		`sum by (le, tier) (scope_tier_duration_seconds_bucket)`: 0, `scope_tier_duration_seconds`: 1, `scope_pending_bytes{x=~"a=b"}`: 1,
	} {
		if got := k.unknown(expr); len(got) != want {
			t.Errorf("%s: %q, want %d findings", expr, got, want)
		}
	}
}

var alertExpr = regexp.MustCompile(`(?m)^ +expr: (?:>-\n)?((?:.+\n)+?) +for: `)

// expressions returns the expressions of the dashboard's panels, variables and annotations, and of the alerts.
func expressions(t *testing.T) (all []string) {
	t.Helper()
	d := readDashboard(t)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all = append(all, target.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		all = append(all, a.Expr)
	}
	for _, v := range d.Templating.List {
		all = append(all, v.Definition)
	}
	text := readFile(t, alertsFile)
	found := alertExpr.FindAllStringSubmatch(text, -1)
	if len(found) != len(alert.FindAllString(text, -1)) {
		t.Fatalf("%d expressions of %d alerts", len(found), len(alert.FindAllString(text, -1)))
	}
	for _, m := range found {
		all = append(all, m[1])
	}
	return all
}
