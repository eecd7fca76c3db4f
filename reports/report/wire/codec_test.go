package wire_test

import (
	"bytes"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/reporttest"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// captured returns the files of all reports that were captured.
func captured(t testing.TB) []string {
	return append(goldentest.Files(t, "hosts/*/*.msgpack.gz"), goldentest.Files(t, "k8s-node/*.msgpack.gz")...)
}

func decodeFile(t testing.TB, file string) *report.Report {
	t.Helper()
	r, err := wire.Codec{}.Decode(goldentest.Read(t, file))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return r
}

func TestCorpusComesBackFromEveryFormat(t *testing.T) {
	t.Parallel()
	files := captured(t)
	if len(files) != 66 {
		t.Fatalf("%d reports, want 66", len(files))
	}
	for _, file := range append(files, goldentest.Files(t, "legacy/*.msgpack.gz")...) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			comesBack(t, decodeFile(t, file))
		})
	}
}

// comesBack checks that a report is the same after encoding and decoding.
func comesBack(t interface {
	Helper()
	Errorf(string, ...any)
}, r *report.Report) {
	t.Helper()
	for name, trip := range map[string]func() (*report.Report, error){
		"blob":    func() (*report.Report, error) { return throughBlob(r) },
		"msgpack": func() (*report.Report, error) { return through(wire.AppendMsgpack, wire.DecodeMsgpack, r) },
		"JSON":    func() (*report.Report, error) { return through(wire.AppendJSON, wire.DecodeJSON, r) },
	} {
		back, err := trip()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(back, r) {
			t.Errorf("%s: got %s, want %s", name, text(back), text(r))
		}
	}
}

func throughBlob(r *report.Report) (*report.Report, error) {
	blob, err := wire.Codec{}.Encode(r)
	if err != nil {
		return nil, err
	}
	return wire.Codec{}.Decode(blob)
}

func through(encode func([]byte, *report.Report) ([]byte, error), decode func([]byte) (*report.Report, error), r *report.Report) (*report.Report, error) {
	data, err := encode([]byte("head"), r)
	if err != nil {
		return nil, err
	}
	return decode(bytes.TrimPrefix(data, []byte("head")))
}

func text(r *report.Report) string {
	b, err := wire.AppendJSON(nil, r)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestGeneratedReportsComeBackFromEveryFormat(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { comesBack(t, reporttest.Report().Draw(t, "report")) })
}

// Zero values that decoding puts defaults in the place of must not be lost.
func TestOddReportsComeBack(t *testing.T) {
	t.Parallel()
	endpoint := func(nodes ...*report.Node) *report.Report {
		r := report.New()
		r.Topologies[report.Endpoint].Nodes = nodes
		return r
	}
	for name, r := range map[string]*report.Report{
		"the zero report":          {},
		"the empty report":         report.New(),
		"a node without ID":        endpoint(&report.Node{}),
		"copies":                   endpoint(&report.Node{ID: "a", Topology: "container"}, &report.Node{ID: "a"}, &report.Node{ID: "a", Topology: "host"}),
		"copies, none at home":     endpoint(&report.Node{ID: "a", Topology: "container"}, &report.Node{ID: "a", Topology: "host"}),
		"copies without ID":        endpoint(&report.Node{Topology: "container"}, &report.Node{}, &report.Node{Topology: "host"}),
		"an ID like a copy's key":  endpoint(&report.Node{ID: "a"}, &report.Node{ID: "a", Topology: "host"}, &report.Node{ID: "a;copy=host"}),
		"only an ID like a key":    endpoint(&report.Node{ID: "a;copy=host", Topology: "host"}),
		"unnamed":                  endpoint(&report.Node{ID: "a", Unnamed: true}, &report.Node{ID: "b", Topology: "host", Unnamed: true}),
		"unnamed copies":           endpoint(&report.Node{ID: "a"}, &report.Node{ID: "a", Topology: "host", Unnamed: true}),
		"unnamed, like a key":      endpoint(&report.Node{ID: "a;copy=", Unnamed: true}, &report.Node{ID: "a;copy=host", Topology: "host", Unnamed: true}),
		"an ID of strange bytes":   endpoint(&report.Node{ID: "\x00\"\\\n\u2028é;\U0001f600"}),
		"children of one ID":       endpoint(&report.Node{ID: "a", Children: []*report.Node{{ID: "a"}, {ID: "a", Topology: "host"}}}),
		"empty values":             endpoint(&report.Node{ID: "a", Sets: []report.StringSet{{Key: ""}}, Latest: report.ValuesOf(report.Latest{}), Metrics: []report.Metric{{}}, Adjacency: []string{""}}),
		"templates without fields": {Topologies: [report.KindCount]report.Topology{report.Host: {TableTemplates: []report.TableTemplate{{}}, MetricTemplates: []report.MetricTemplate{{}}, MetadataTemplates: []report.MetadataTemplate{{}}, Controls: []report.Control{{}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			comesBack(t, r)
		})
	}
}

func TestJSONEqualsScope(t *testing.T) {
	t.Parallel()
	golden := goldentest.Files(t, "golden/hosts/db-1/*.json.gz")
	for _, file := range golden {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			name := strings.Replace(filepath.Base(file), ".json.", ".msgpack.", 1)
			equalsScope(t, decodeFile(t, goldentest.Path("hosts", "db-1", name)), file)
		})
	}
}

// equalsScope compares a report with Scope's JSON of it, both as it is written
// and as it is read.
func equalsScope(t *testing.T, r *report.Report, golden string) {
	t.Helper()
	want := goldentest.Inflate(t, golden)
	goldentest.Equal(t, []byte(text(r)), want, nil)
	back, err := wire.DecodeJSON(want)
	if err != nil {
		t.Fatal(err)
	}
	goldentest.Equal(t, []byte(text(back)), want, nil)
}

func TestLegacyFormsEqualScope(t *testing.T) {
	t.Parallel()
	// Scope stamps counters with the time of decoding.
	stamped := func(path []string) bool {
		n := len(path)
		return n > 2 && path[n-1] == "timestamp" && strings.HasPrefix(path[n-2], "count_")
	}
	for _, file := range goldentest.Files(t, "legacy/*.msgpack.gz") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			r := decodeFile(t, file)
			want := goldentest.Inflate(t, strings.Replace(file, ".msgpack.", ".decoded.json.", 1))
			goldentest.Equal(t, []byte(text(r)), want, stamped)
		})
	}
}

// What the controls of a node are that has none which is not dead, and what
// controls are that do not repeat their key, was read off Scope's decoder.
func TestControlsEqualScope(t *testing.T) {
	t.Parallel()
	r, err := wire.DecodeJSON([]byte(`{"Host":{
		"controls":{"a":null,"b":{"id":"other","rank":1}},
		"nodes":{
			"dead":{"latestControls":{"x":{"timestamp":"2026-11-22T07:34:30Z","value":{"dead":true}}}},
			"none":{"latestControls":{}},
			"was":{"latest":{"active_controls":{"timestamp":"2026-11-22T07:34:30Z","value":"x"}},"latestControls":{"x":{"value":{"dead":true}}}}
		}}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Host":{
		"controls":{"a":{"rank":0},"b":{"id":"other","rank":1}},
		"nodes":{
			"dead":{"latest":{"active_controls":{"timestamp":"0001-01-01T00:00:00Z","value":""}}},
			"none":{},
			"was":{"latest":{"active_controls":{"timestamp":"0001-01-01T00:00:00Z","value":""}}}
		}}}`
	goldentest.Equal(t, []byte(text(r)), []byte(want), func(path []string) bool {
		return len(path) == 1 && path[0] != "Host" || len(path) == 2 && path[1] != "controls" && path[1] != "nodes"
	})
}

// Scope's own encoding of a map has no order; but for that, its bytes are ours.
// Deltas come without the shapes and labels, which decoding adds.
func TestBytesAreAsManyAsScopes(t *testing.T) {
	t.Parallel()
	const looks = 1202 // bytes for the shapes, tags and labels of all topologies
	for _, file := range captured(t) {
		scope := goldentest.Inflate(t, file)
		ours, err := wire.AppendMsgpack(nil, decodeFile(t, file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(scope, []byte("shape")) {
			ours = ours[looks:]
		}
		if len(ours) != len(scope) {
			t.Errorf("%s: %d bytes, Scope wrote %d", filepath.Base(file), len(ours), len(scope))
		}
	}
}

func TestDecodeFileGoesByTheEnding(t *testing.T) {
	t.Parallel()
	want := decodeFile(t, goldentest.Files(t, "legacy/latest-controls.msgpack.gz")[0])
	blob, err := wire.Codec{}.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := wire.AppendMsgpack(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"x.msgpack.gz": blob, "x.msgpack": plain, "a/b.json": []byte(text(want)), "x.json.gz": gzipped(t, []byte(text(want))),
	} {
		r, err := wire.Codec{}.DecodeFile(name, data)
		if err != nil || !reflect.DeepEqual(r, want) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
		if _, err := (wire.Codec{}).DecodeFile(name, data[:len(data)-2]); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: cut short: %v, want an error with its name", name, err)
		}
	}
	for _, name := range []string{"x.txt", "x.gz", "msgpack", ""} {
		if _, err := (wire.Codec{}).DecodeFile(name, blob); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestEncodeRefusesWhatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	deep := &report.Node{ID: "leaf"}
	for range 40 {
		deep = &report.Node{ID: "n", Children: []*report.Node{deep}}
	}
	nested := report.New()
	nested.Topologies[report.Host].Nodes = []*report.Node{deep}
	late := &report.Report{TS: farFuture}
	for name, r := range map[string]*report.Report{"nil": nil, "nested": nested, "the year 10000": late} {
		if _, err := (wire.Codec{}).Encode(r); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := wire.AppendJSON(nil, r); err == nil {
			t.Errorf("%s: no error from JSON", name)
		}
	}
	isTooLarge(t, 100, func() error {
		_, err := wire.Codec{MaxBytes: 100}.Encode(report.New())
		return err
	})
}
