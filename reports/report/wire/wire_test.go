package wire_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// small returns a report with a value of each type.
func small() *report.Report {
	r := report.New()
	r.TS, r.Window, r.ID = time.Unix(1_700_000_000, 5).UTC(), 3*time.Second, "7"
	r.Sampling = report.Sampling{Count: 1000, Total: 1}
	r.DNS = []report.DNSRecord{{Address: "10.0.0.1", Forward: []string{"a"}}}
	r.Plugins = []report.PluginSpec{{ID: "p", Label: "P", Interfaces: []string{"reporter"}, APIVersion: "1"}}
	r.Topologies[report.Endpoint].Nodes = []*report.Node{
		{
			ID: "n", Topology: "endpoint",
			Sets:      []report.StringSet{{Key: "s", Values: []string{"x"}}},
			Adjacency: []string{"m"},
			Latest:    report.ValuesOf(report.Latest{Key: "k", Timestamp: report.InstantOf(r.TS), Value: strings.Repeat("v", 32)}),
			Metrics:   []report.Metric{{Key: "cpu", Samples: []report.Sample{{Date: report.InstantOf(r.TS), Value: 1.5}}, Max: 100}},
			Children:  []*report.Node{{ID: "c"}},
		},
		{ID: "n", Topology: "host"},
		{ID: "u", Unnamed: true},
	}
	r.Topologies[report.Endpoint].Controls = []report.Control{{Key: "k", ID: "c", Human: "C", Rank: -1}}
	return r
}

// The bytes are written by hand from the format's description, not taken from
// the encoder.
func TestWireForm(t *testing.T) {
	t.Parallel()
	stamp := "\xaf\x01\x00\x00\x00\x0e\xdc\xe5\xe8\x00\x00\x00\x00\x05\xff\xff"
	hundred := "\xcb\x40\x59\x00\x00\x00\x00\x00\x00"
	empty := "\xa4sets\xc0\xa7parents\xc0\xa8children\xc0"
	n := "\x88\xa2id\xa1n\xa8topology\xa8endpoint\xa4sets\x81\xa1s\x91\xa1x\xa9adjacency\x91\xa1m" +
		"\xa6latest\x81\xa1k\x82\xa9timestamp" + stamp + "\xa5value\xda\x00\x20" + strings.Repeat("v", 32) +
		"\xa7metrics\x81\xa3cpu\x83\xa7samples\x91\x82\xa4date" + stamp + "\xa5value\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00" +
		"\xa3min\xcb\x00\x00\x00\x00\x00\x00\x00\x00\xa3max" + hundred +
		"\xa7parents\xc0\xa8children\x91\x84\xa2id\xa1c" + empty
	endpoint := "\x82\xa5nodes\x83" +
		"\xa1n" + n +
		"\xabn;copy=host\x85\xa2id\xa1n\xa8topology\xa4host" + empty +
		"\xa1u\x83" + empty +
		"\xa8controls\x81\xa1k\x84\xa2id\xa1c\xa5human\xa1C\xa4icon\xa0\xa4rank\xff"
	head := "\xde\x00\x1e\xa2TS" + stamp + "\xa8Endpoint" + endpoint +
		"\xa7Process\x83\xa5shape\xa6square\xa5label\xa7process\xaclabel_plural\xa9processes"
	tail := "\xa3Job\x83\xa5shape\xaedottedtriangle\xa5label\xa3job\xaclabel_plural\xa4jobs" +
		"\xa3DNS\x81\xa810.0.0.1\x81\xa7forward\x91\xa1a" +
		"\xa8Sampling\x82\xa5Count\xcd\x03\xe8\xa5Total\x01\xa6Window\xce\xb2\xd0\x5e\x00\xa8Shortcut\xc2" +
		"\xa7Plugins\x91\x84\xabapi_version\xa11\xa2id\xa1p\xaainterfaces\x91\xa8reporter\xa5label\xa1P\xa2ID\xa17"
	got, err := wire.AppendMsgpack(nil, small())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(got), head) {
		t.Errorf("it begins %q,\nwant          %q", got[:min(len(got), len(head))], head)
	}
	if !strings.HasSuffix(string(got), tail) {
		t.Errorf("it ends %q,\nwant        %q", got[max(0, len(got)-len(tail)):], tail)
	}
	back, err := wire.DecodeMsgpack(got)
	if err != nil || !reflect.DeepEqual(back, small()) {
		t.Errorf("it comes back as %s, %v", text(back), err)
	}
}

// Newer writers use wider headers, other string formats and other numbers.
func TestEveryWidthIsRead(t *testing.T) {
	t.Parallel()
	for _, number := range []string{
		"\x07", "\xcc\x07", "\xcd\x00\x07", "\xce\x00\x00\x00\x07", "\xcf\x00\x00\x00\x00\x00\x00\x00\x07",
		"\xd0\x07", "\xd1\x00\x07", "\xd2\x00\x00\x00\x07", "\xd3\x00\x00\x00\x00\x00\x00\x00\x07",
		"\xca\x40\xe0\x00\x00", "\xcb\x40\x1c\x00\x00\x00\x00\x00\x00",
	} {
		r, err := wire.DecodeMsgpack([]byte("\x82" + fix("Window") + number + fix("Sampling") + one("Count", number)))
		if err != nil || r.Window != 7 || r.Sampling.Count != 7 {
			t.Errorf("%q: %v", number, err)
		}
		r, err = wire.DecodeMsgpack([]byte(one("Host", one("nodes", one("h", one("metrics", one("m", one("max", number))))))))
		if err != nil || r.Topologies[report.Host].Nodes[0].Metrics[0].Max != 7 {
			t.Errorf("%q: %v", number, err)
		}
	}
	for _, id := range []string{"\xa1x", "\xd9\x01x", "\xda\x00\x01x", "\xdb\x00\x00\x00\x01x", "\xc4\x01x", "\xc5\x00\x01x", "\xc6\x00\x00\x00\x01x"} {
		for _, head := range []string{"\x81", "\xde\x00\x01", "\xdf\x00\x00\x00\x01"} {
			r, err := wire.DecodeMsgpack([]byte(head + fix("ID") + id))
			if err != nil || r.ID != "x" {
				t.Errorf("%q%q: %v", head, id, err)
			}
		}
	}
	for _, head := range []string{"\x91", "\xdc\x00\x01", "\xdd\x00\x00\x00\x01"} {
		r, err := wire.DecodeMsgpack([]byte(one("Plugins", head+one("id", fix("p")))))
		if err != nil || len(r.Plugins) != 1 || r.Plugins[0].ID != "p" {
			t.Errorf("%q: %v", head, err)
		}
	}
}

// TestFieldsOfANodeComeInAnyOrder moves each field of a node to each place, and writes each one twice: first with
// another value, since the last counts.
func TestFieldsOfANodeComeInAnyOrder(t *testing.T) {
	t.Parallel()
	stamp := "\xaf\x01\x00\x00\x00\x0e\xdc\xe5\xe8\x00\x00\x00\x00\x05\xff\xff"
	field := func(name, value string) string { return fix(name) + value }
	fields := []string{
		field("id", fix("n")), field("topology", fix("pod")), field("sets", one("s", "\x91"+fix("x"))), field("adjacency", "\x91"+fix("m")),
		field("latest", one("k", "\x82"+field("timestamp", stamp)+field("value", fix("v")))), field("metrics", one("m", one("max", "\x07"))),
		field("parents", one("p", "\x91"+fix("y"))), field("children", "\x91"+one("id", fix("c"))),
	}
	others := []string{
		field("id", fix("o")), field("topology", fix("host")), field("sets", "\xc0"), field("adjacency", "\x90"), field("latest", "\x80"),
		field("metrics", "\x80"), field("parents", "\xc0"), field("children", "\xc0"),
	}
	decode := func(fields []string) *report.Report {
		t.Helper()
		node := string([]byte{0x80 | byte(len(fields))}) + strings.Join(fields, "")
		r, err := wire.DecodeMsgpack([]byte(one("Pod", one("nodes", "\x82"+fix("n")+node+fix("u")+"\x80"))))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	want := decode(fields)
	if n := want.Topologies[report.Pod].Nodes[0]; n.ID != "n" || n.Topology != "pod" || len(n.Children) != 1 || len(n.Parents) != 1 || n.Latest.Len() != 1 {
		t.Fatalf("%+v", n)
	}
	for from := range fields {
		rest := slices.Delete(slices.Clone(fields), from, from+1)
		for to := range fields {
			moved := slices.Insert(slices.Clone(rest), to, fields[from])
			if got := decode(moved); !reflect.DeepEqual(got, want) {
				t.Errorf("field %d at place %d: %s", from, to, text(got))
			}
			twice := slices.Insert(slices.Clone(fields), min(to, from), others[from])
			if got := decode(twice); !reflect.DeepEqual(got, want) {
				t.Errorf("field %d before, at place %d: %s", from, min(to, from), text(got))
			}
		}
	}
}

func TestUnknownFieldsOfAnyShapeAreSkipped(t *testing.T) {
	t.Parallel()
	for _, shape := range []string{
		"\xc0", "\xc2", "\x01", "\xca\x00\x00\x00\x00", fix("x"), "\xc4\x01x", "\xd4\x05x", "\xd8\xff0123456789abcdef",
		"\xc7\x03\x01xyz", "\x92\x01\x90", "\x82\x01\x02\xc0\x80", "\x81\x91\x01" + one("a", "\xc0"), "\xd6\xff\x00\x00\x00\x00",
	} {
		node := one("nodes", one("n", "\x82"+fix("new")+shape+fix("topology")+fix("t")))
		r, err := wire.DecodeMsgpack([]byte("\x83" + fix("new") + shape + fix("Host") + node + fix("ID") + fix("i")))
		if err != nil || r.ID != "i" || r.Topologies[report.Host].Nodes[0].Topology != "t" {
			t.Errorf("%q: %v", shape, err)
		}
	}
}

// The zone of a time is dropped: an instant is what merges compare.
func TestTimesAreInstants(t *testing.T) {
	t.Parallel()
	want := time.Unix(1_700_000_000, 5).UTC()
	east := want.In(time.FixedZone("", 90*60))
	odd := want.In(time.FixedZone("", -1234))
	for _, when := range []time.Time{want, east, odd} {
		b, err := when.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{string(b), when.Format(time.RFC3339Nano)} {
			if form == odd.Format(time.RFC3339Nano) {
				continue // RFC 3339 has no seconds in a zone
			}
			if r, err := wire.DecodeMsgpack([]byte(one("TS", fix8(form)))); err != nil || r.TS != want {
				t.Errorf("%q: %v, %v", form, r, err)
			}
		}
		if got, err := wire.AppendMsgpack(nil, &report.Report{TS: when}); err != nil || !strings.Contains(string(got), "\x05\xff\xff") {
			t.Errorf("%v: %v", when, err)
		}
	}
}

func fix8(s string) string { return "\xd9" + string([]byte{byte(len(s))}) + s }
