// Package timeblob_test checks the house rules of DESIGN.md against the tree: which package imports which, how
// long files and functions are, where a mutex is locked, and how comments are written. Each rule has a test that
// shows what the rule catches.
package timeblob_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/timeblob/timeblob/"

// room is one row of DESIGN.md's import table. Names end in /... where they mean a whole subtree.
type room struct {
	name   string
	ours   []string // packages of this module it may import
	others []string // modules it may import, apart from the standard library; nil is any
}

var (
	anything = []string{"..."}
	plumbing = []string{"internal/guard", "internal/cache", "internal/metric", "internal/readthrough", "internal/tracing", "internal/weigh"}
	watching = []string{"internal/metric", "internal/tracing"}
	retrying = append([]string{"internal/pause", "internal/retrybudget"}, watching...)
)

// house is DESIGN.md's import table; an inner name comes before the one around it. Any package
// may use internal/metric and internal/tracing, which import nothing of this module.
var house = []room{
	{"blob", []string{}, []string{}},
	{"index", []string{"blob"}, []string{}},
	{"bucket/internal/erase", []string{"index", "internal/pause"}, []string{"golang.org/x/sync"}},
	{"bucket/internal/levels", []string{"blob", "index"}, []string{"golang.org/x/sync"}},
	{"bucket/internal/plan", append([]string{"blob", "index", "bucket/internal/levels", "internal/gate"}, plumbing...), []string{"golang.org/x/sync", "github.com/prometheus/client_golang"}},
	{"bucket/internal/rollup", append([]string{"blob", "index", "bucket/internal/levels", "internal/gate", "internal/pause"}, plumbing...), []string{"golang.org/x/sync", "github.com/prometheus/client_golang"}},
	{"bucket/internal/...", []string{}, []string{}},
	{"bucket", append([]string{"blob", "index", "bucket/internal/...", "internal/claims", "internal/gate", "internal/pause"}, plumbing...), []string{"golang.org/x/sync", "github.com/prometheus/client_golang", "go.opentelemetry.io/otel"}},
	{"tiered", append([]string{"blob", "internal/gate"}, plumbing...), []string{"golang.org/x/sync", "github.com/prometheus/client_golang"}},
	{"faulttest", []string{"blob", "index", "tiered", "internal/pause"}, []string{}},
	{"dynamoindex", append([]string{"index", "blob"}, retrying...), nil},
	{"s3blob", retrying, nil},
	{"journal", []string{"internal/metric"}, []string{"golang.org/x/sync", "github.com/prometheus/client_golang"}},
	{"memcache", append([]string{"internal/gate", "internal/pause"}, watching...), nil},
	{"natsbus", append([]string{"internal/pause"}, watching...), nil},
	{"embedded", []string{"bucket", "journal", "local", "tiered"}, []string{}},
	{"remote", []string{"blob", "bucket", "index", "tiered", "internal/guard"}, []string{}},
	{"local/internal/wal", nil, []string{"github.com/cockroachdb/pebble"}},
	{"local", append([]string{"local/internal/wal", "internal/claims", "index", "blob"}, watching...), nil},
	{"reports/report/wire", []string{"reports/report", "reports/report/internal/..."}, nil},
	{"reports/report/internal/...", []string{}, nil},
	{"reports/report", []string{"reports/report/internal/..."}, nil},
	{"reports/cmd/collector/...", anything, nil},
	{"reports/connlimit", []string{}, []string{}},
	{"reports/health", []string{"index", "tiered", "internal/human"}, nil},
	{"reports/shortcuts", append([]string{"bucket", "index", "tiered", "internal/worker", "reports/report", "reports/report/wire"}, watching...), nil},
	{"reports", append([]string{"blob", "bucket", "index", "tiered", "reports/health", "reports/shortcuts", "reports/tenants",
		"internal/human", "reports/report", "reports/report/wire"}, watching...), nil},
	{"reports/peers", append([]string{"bucket", "index", "reports", "reports/shortcuts", "internal/human", "reports/report",
		"reports/report/wire"}, watching...), nil},
	{"reports/admin", []string{"bucket", "index", "reports", "reports/health", "internal/human", "reports/report"}, nil},
	{"reports/...", append([]string{"internal/gate", "internal/human", "blob", "bucket", "index", "tiered", "reports/..."}, watching...), nil},
	{"bench/...", anything, nil},
	{"internal/readthrough", []string{"blob", "internal/guard"}, nil},
	{"deploy", anything, nil},
	{"internal/weigh", []string{"internal/guard"}, nil},
	{"internal/...", []string{}, nil},
}

// program is the one package that chooses where spans go: all others know
// OpenTelemetry's API only.
const program = "reports/cmd/collector/internal/telemetry"

var spanSinks = []string{"go.opentelemetry.io/otel/sdk/...", "go.opentelemetry.io/otel/exporters/...", "go.opentelemetry.io/contrib/..."}

// pkg is what go list says about a package, without its tests.
type pkg struct {
	ImportPath string
	Imports    []string
}

func TestPackagesImportOnlyWhatTheDesignAllows(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		for _, breach := range importBreaches(p) {
			t.Errorf("%s; change the import, or DESIGN.md's table and this test's with it", breach)
		}
	}
}

// withoutHTTP are the packages that know nothing of HTTP: their errors are typed,
// and reports/httpapi turns them into statuses.
var withoutHTTP = []string{"blob", "index", "bucket", "tiered", "reports", "reports/health", "reports/shortcuts", "reports/admin", "reports/tenants"}

func TestTheCoreKnowsNoHTTP(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if slices.Contains(withoutHTTP, name) && slices.Contains(p.Imports, "net/http") {
			t.Errorf("%s imports net/http; return a typed error or an interface, and let reports/httpapi or reports/peers speak HTTP", name)
		}
	}
}

func TestTestingStaysInTests(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		for _, breach := range testingBreaches(p) {
			t.Errorf("%s; move what needs it to a _test.go file or to a package whose name ends in test", breach)
		}
	}
}

// importBreaches says which imports of a package its row of the table does not allow.
func importBreaches(p pkg) []string {
	name := strings.TrimPrefix(p.ImportPath, module)
	if isTest(name) || name+"/" == module {
		return nil
	}
	i := slices.IndexFunc(house, func(r room) bool { return matches(r.name, name) })
	if i < 0 {
		return []string{fmt.Sprintf("%s has no row in the import table", name)}
	}
	var breaches []string
	for _, imported := range p.Imports {
		sink := slices.ContainsFunc(spanSinks, func(pattern string) bool { return matches(pattern, imported) })
		if !house[i].allows(imported) || sink && name != program {
			breaches = append(breaches, fmt.Sprintf("%s imports %s", name, imported))
		}
	}
	return breaches
}

func (r room) allows(imported string) bool {
	if name, ours := strings.CutPrefix(imported, module); ours {
		return slices.ContainsFunc(r.ours, func(pattern string) bool { return matches(pattern, name) })
	}
	first, _, _ := strings.Cut(imported, "/")
	if standard := !strings.Contains(first, "."); standard || r.others == nil {
		return true
	}
	return slices.ContainsFunc(r.others, func(other string) bool { return matches(other+"/...", imported) })
}

// matches tells whether a pattern means a package: by its name, or as the root of its subtree.
func matches(pattern, name string) bool {
	root, subtree := strings.CutSuffix(pattern, "...")
	if !subtree {
		return pattern == name
	}
	return strings.HasPrefix(name+"/", root)
}

// testingBreaches says where a package that ships imports what only tests may.
func testingBreaches(p pkg) []string {
	name := strings.TrimPrefix(p.ImportPath, module)
	if isTest(name) || matches("bench/...", name) {
		return nil
	}
	var breaches []string
	for _, imported := range p.Imports {
		if matches("testing/...", imported) || matches("pgregory.net/rapid/...", imported) ||
			matches("go.uber.org/goleak/...", imported) || strings.HasPrefix(imported, module) && isTest(imported) {
			breaches = append(breaches, fmt.Sprintf("%s imports %s", name, imported))
		}
	}
	return breaches
}

// isTest tells whether a package is there for tests: its own name ends in test.
func isTest(name string) bool { return strings.HasSuffix(path.Base(name), "test") }

// packages lists the root module's.
func packages(t *testing.T) []pkg {
	t.Helper()
	command := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", "./...")
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []pkg
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// The rest tests the rules: each must catch what it is there for, and only that.

func TestImportRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, imported string
		breaches       int
	}{
		{"bucket", "context", 0},
		{"bucket", "golang.org/x/sync/errgroup", 0},
		{"bucket", "golang.org/x/synchrotron", 1},
		{"bucket", module + "internal/cache", 0},
		{"bucket", module + "tiered", 1},
		{"bucket", "github.com/aws/aws-sdk-go-v2/aws", 1},
		{"bucket", "go.opentelemetry.io/otel/trace", 0},
		{"bucket", "go.opentelemetry.io/otel/sdk/trace", 1},
		{"tiered", module + "internal/tracing", 0},
		{"tiered", "go.opentelemetry.io/otel/trace", 1},
		{"reports", "go.opentelemetry.io/otel/propagation", 0},
		{"reports", "go.opentelemetry.io/otel/exporters/otlp/otlptrace", 1},
		{"reports/cmd/collector/internal/telemetry", "go.opentelemetry.io/otel/sdk/resource", 0},
		{"reports/cmd/collector", "go.opentelemetry.io/otel/sdk/resource", 1},
		{"reports/report", module + "internal/tracing", 1},
		{"index/indextest", module + "tiered", 0},
		{"bucket/deep", "context", 1},
		{"tiered", module + "bucket", 1},
		{"tiered", "github.com/hashicorp/golang-lru/v2/simplelru", 1},
		{"local", module + "index", 0},
		{"local", module + "bucket", 1},
		{"local", module + "tiered", 1},
		{"s3blob", "github.com/aws/aws-sdk-go-v2/service/s3", 0},
		{"s3blob", module + "bucket", 1},
		{"memcache", module + "internal/readthrough", 1},
		{"natsbus", module + "bucket", 1},
		{"reports/report", module + "internal/metric", 1},
		{"reports", module + "reports/report", 0},
		{"reports", module + "local", 1},
		{"reports/deep", module + "s3blob", 1},
		{"reports/cmd/collector", module + "s3blob", 0},
		{"bench", module + "dynamoindex", 0},
		{"internal/cache", module + "bucket", 1},
		{"util", "context", 1},
	} {
		got := importBreaches(pkg{module + c.name, []string{c.imported}})
		if len(got) != c.breaches {
			t.Errorf("%s imports %s: got %q, want %d breaches", c.name, c.imported, got, c.breaches)
		}
	}
}

func TestTestingRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, imported string
		breaches       int
	}{
		{"bucket", "testing", 1},
		{"bucket", "testing/fstest", 1},
		{"bucket", "pgregory.net/rapid", 1},
		{"bucket", module + "index/indextest", 1},
		{"bucket", "net/http/httptest", 0},
		{"index/indextest", "testing", 0},
		{"bench", "testing", 0},
	} {
		got := testingBreaches(pkg{module + c.name, []string{c.imported}})
		if len(got) != c.breaches {
			t.Errorf("%s imports %s: got %q, want %d breaches", c.name, c.imported, got, c.breaches)
		}
	}
}
