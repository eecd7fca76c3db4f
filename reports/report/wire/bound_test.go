package wire_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/internal/alloctest"
	"github.com/timeblob/timeblob/internal/racetest"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// takesLittle checks that f allocates at most 16 times the length of its input,
// and what the pools hold.
func takesLittle(t testing.TB, what string, input []byte, f func()) {
	t.Helper()
	alloctest.Bounded(t, what, int64(len(input)), 256<<10, f)
}

// shortKeys returns a map, in msgpack, of n keys of three bytes that all have the
// same value, in no order.
func shortKeys(n int, value string) string {
	var b strings.Builder
	b.Write(binary.BigEndian.AppendUint32([]byte{0xdf}, uint32(n)))
	for i := range n {
		i = (i*7919 + 1) % n
		b.WriteString(string([]byte{0xa3, byte(i>>14) + 1, byte(i>>7&0x7f) + 1, byte(i&0x7f) + 1}) + value)
	}
	return b.String()
}

// hostile returns reports that take much memory for their length.
func hostile() map[string]string {
	const n = 20_000
	node := func(field, value string) string { return one("Host", one("nodes", one("h", one(field, value)))) }
	list := func(element string) string {
		return string(binary.BigEndian.AppendUint32([]byte{0xdd}, n)) + strings.Repeat(element, n)
	}
	form := "\x82\xa9timestamp\xaf\x01\x00\x00\x00\x0e\xdc\xe5\xe8\x00\x00\x00\x00\x00\xff\xff\xa5value\xa0"
	return map[string]string{
		"nodes":         one("Host", one("nodes", shortKeys(n, "\x80"))),
		"children":      node("children", list("\x80")),
		"latest":        node("latest", shortKeys(n, "\xc0")),
		"usual latest":  node("latest", shortKeys(n, form)),
		"sets":          node("sets", shortKeys(n, "\xc0")),
		"members":       node("sets", shortKeys(n/10, "\x9a\xa0\xa0\xa0\xa0\xa0\xa0\xa0\xa0\xa0\xa0")),
		"adjacency":     node("adjacency", list("\xa0")),
		"metrics":       node("metrics", shortKeys(n, "\xc0")),
		"samples":       node("metrics", one("m", one("samples", list("\x80")))),
		"counters":      node("counters", shortKeys(n, "\x00")),
		"controls":      node("latestControls", shortKeys(n, "\x80")),
		"DNS":           one("DNS", shortKeys(n, "\xc0")),
		"old DNS":       one("nodes", shortKeys(n, "\xc0")),
		"plugins":       one("Plugins", list("\x80")),
		"interfaces":    one("Plugins", "\x91"+one("interfaces", list("\xa0"))),
		"templates":     one("Host", one("metadata_templates", shortKeys(n, "\xc0"))),
		"tables":        one("Host", one("table_templates", shortKeys(n, "\xc0"))),
		"columns":       one("Host", one("table_templates", one("t", one("columns", list("\x80"))))),
		"rows":          one("Host", one("table_templates", one("t", one("fixedRows", shortKeys(n, "\xc0"))))),
		"one node":      one("Host", one("nodes", string(binary.BigEndian.AppendUint32([]byte{0xdf}, n))+strings.Repeat("\xa1h\x80", n))),
		"one letter":    one("ID", "\xdb\x00\x10\x00\x00"+strings.Repeat("x", 1<<20)),
		"one value":     node("latest", one("k", one("value", "\xdb\x00\x10\x00\x00"+strings.Repeat("x", 1<<20)))),
		"unknown":       one("x", list("\x90")),
		"unknown texts": one("x", shortKeys(n, "\xa0")),
	}
}

// quickly is gzipped with little compression, which takes a fraction of the time.
func quickly(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	zw, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	_, err = zw.Write(plain)
	if err := errors.Join(err, zw.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestAllocationIsBounded pads hostile reports until they have just what is needed to be taken. Under the race detector
// it tries fewer paddings.
//
// Not parallel: it watches what is allocated.
func TestAllocationIsBounded(t *testing.T) {
	more := func(pad int) int { return 5 * pad / 4 }
	if racetest.Enabled {
		more = func(pad int) int { return 2 * pad }
	}
	for name, data := range hostile() {
		taken := false
		for pad := 0; !taken && pad < 64<<20; pad = more(pad) + 10_000 {
			plain := []byte(padded(data, pad))
			var err error
			takesLittle(t, name, plain, func() { _, err = wire.DecodeMsgpack(plain) })
			blob := quickly(t, plain)
			takesLittle(t, name+", decoded", plain, func() { _, _ = wire.Codec{}.Decode(blob) })
			takesLittle(t, name+", examined", plain, func() { _, _ = wire.Codec{}.Examine(blob) })
			var tooLarge *wire.TooLargeError
			if taken = err == nil; !taken && !errors.As(err, &tooLarge) {
				t.Errorf("%s: %v", name, err)
				break
			}
		}
		if !taken {
			t.Errorf("%s: never taken", name)
		}
	}
}

// Not parallel: it watches what is allocated.
func TestAllocationOfJSONIsBounded(t *testing.T) {
	many := func(element string) string { return strings.TrimSuffix(strings.Repeat(element+",", 100_000), ",") }
	for name, text := range map[string]string{
		"fractions":    `{"x":[` + many("0.1") + `]}`,
		"exponents":    `{"x":[` + many("1e9") + `]}`,
		"no UTF-8":     `{"ID":"` + strings.Repeat("\xff", 1<<20) + `"}`,
		"one letter":   `{"ID":"` + strings.Repeat("x", 1<<20) + `"}`,
		"short texts":  `{"x":[` + many(`""`) + `]}`,
		"arrays":       `{"x":[` + many(`[]`) + `]}`,
		"samples":      `{"Host":{"nodes":{"h":{"metrics":{"m":{"samples":[` + many(`{}`) + `]}}}}}}`,
		"adjacency":    `{"Host":{"nodes":{"h":{"adjacency":[` + many(`""`) + `]}}}}`,
		"white space":  `{"x":` + strings.Repeat(" ", 1<<20) + `1}`,
		"escapes":      `{"ID":"` + strings.Repeat(`\u0001`, 1<<17) + `"}`,
		"half a pair":  `{"ID":"` + strings.Repeat(`\ud800`, 1<<17) + `"}`,
		"cut short":    `{"x":[` + many("0.1"),
		"a k8s node's": text(decodeFile(t, goldentest.Files(t, "k8s-node/*.msgpack.gz")[0])),
	} {
		takesLittle(t, name, []byte(text), func() { _, _ = wire.DecodeJSON([]byte(text)) })
	}
}

// What this package writes can be decoded: also where a report holds so many
// empty values under short keys that decoding it takes more than its bytes allow.
func TestWhatIsWrittenIsTaken(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 40_000 {
		names = append(names, fmt.Sprintf("%04x", i))
	}
	full := report.New()
	host := &report.Node{ID: "h"}
	full.Topologies[report.Host].Nodes = []*report.Node{host}
	plugin := report.PluginSpec{ID: "p"}
	table := report.TableTemplate{Key: "t"}
	for _, name := range names {
		full.DNS = append(full.DNS, report.DNSRecord{Address: name})
		host.Sets = append(host.Sets, report.StringSet{Key: name})
		plugin.Interfaces = append(plugin.Interfaces, "")
		table.FixedRows = append(table.FixedRows, report.FixedRow{Key: name})
	}
	host.Adjacency = names
	full.Plugins = []report.PluginSpec{plugin}
	full.Topologies[report.Host].TableTemplates = []report.TableTemplate{table}
	dns := report.New()
	dns.DNS = full.DNS
	nodes := report.New()
	for _, name := range names {
		nodes.Topologies[report.Pod].Nodes = append(nodes.Topologies[report.Pod].Nodes, &report.Node{ID: name, Unnamed: true})
	}
	for _, r := range []*report.Report{full, dns, nodes} {
		comesBack(t, r)
	}
	if plain, err := wire.AppendMsgpack(nil, dns); err != nil || !strings.Contains(string(plain), "Padding") {
		t.Errorf("a report of %d bytes needs no padding: %v", len(plain), err)
	}
}
