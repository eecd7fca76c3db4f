package wire_test

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/internal/alloctest"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// Not parallel: it watches the heap.
func TestSizeIsNearTheTruth(t *testing.T) {
	const copies = 20
	for _, pattern := range []string{"k8s-node/*.gz", "hosts/db-1/*.gz", "hosts/web-1/*.gz", "legacy/*.msgpack.gz"} {
		for _, file := range goldentest.Files(t, pattern)[:3] {
			blob := goldentest.Read(t, file)
			reports := make([]*report.Report, copies)
			before := alloctest.Heap()
			for i := range reports {
				r, err := wire.Codec{}.Decode(blob)
				if err != nil {
					t.Fatal(err)
				}
				reports[i] = r
			}
			truth := (alloctest.Heap() - before) / copies
			got := report.Size(reports[0])
			if got > truth*3/2 || got < truth*2/3 {
				t.Errorf("%s: Size is %d, the heap grew by %d", filepath.Base(file), got, truth)
			}
			runtime.KeepAlive(reports)
		}
	}
}

// manyOf returns a map, in msgpack, of n keys that all have the same value.
func manyOf(n int, value string) string {
	var b strings.Builder
	b.Write(binary.BigEndian.AppendUint32([]byte{0xdf}, uint32(n)))
	for i := range n {
		b.WriteString(fix(fmt.Sprintf("%04x", i)) + value)
	}
	return b.String()
}

// Not parallel: it watches the heap. What a collector keeps is bounded by Size,
// so nothing that decodes may hold much more: not what it said twice, and not
// texts that no other shares.
func TestSizeOfHostileReports(t *testing.T) {
	const n = 1 << 18
	node := func(field, value string) string { return one("Host", one("nodes", one("h", one(field, value)))) }
	list := func(element string) string { return "\xdd\x00\x04\x00\x00" + strings.Repeat(element, n) }
	long := "\xdb\x00\x10\x00\x00" + strings.Repeat("x", 1<<20)
	for name, data := range map[string]string{
		"set":           node("adjacency", list("\xa0")),
		"samples":       node("metrics", one("m", one("samples", list("\x80")))),
		"children":      node("children", list("\x82"+fix("id")+"\xa0"+fix("x")+"\xa4pads")),
		"plugins":       one("Plugins", list(one("x", "\xa8plugins."))),
		"sets":          node("sets", manyOf(1<<13, "\xdc\x00\x1f"+strings.Repeat("\xa0", 31))),
		"field again":   one("Host", one("nodes", one("h", "\x82"+fix("adjacency")+list("\xa0")+fix("adjacency")+"\x91\xa1x"))),
		"samples again": node("metrics", manyOf(1<<13, "\x82"+fix("samples")+"\xdc\x00\x1f"+strings.Repeat("\x80", 31)+fix("samples")+"\x91\x80")),
		"latest key":    node("latest", "\x81"+long+"\xc0"),
		"metric key":    node("metrics", "\x81"+long+"\xc0"),
		"set key":       node("sets", "\x81"+long+"\xc0"),
		"topology":      node("topology", long),
		"label":         one("Host", one("label", long)),
		"control":       one("Host", one("controls", one("c", one("human", long)))),
		"metadata":      one("Host", one("metadata_templates", one("c", one("label", long)))),
		"metric":        one("Host", one("metric_templates", one("c", one("label", long)))),
		"table":         one("Host", one("table_templates", one("c", one("label", long)))),
		"column":        one("Host", one("table_templates", one("c", one("columns", "\x91"+one("label", long))))),
		"plugin":        one("Plugins", "\x91"+one("description", long)),
		"ID":            one("ID", long),
	} {
		before := alloctest.Heap()
		r, err := wire.DecodeMsgpack([]byte(padded(data, 8<<20)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if truth, got := alloctest.Heap()-before, report.Size(r); truth > 2*got+256<<10 {
			t.Errorf("%s: Size is %d, the heap grew by %d", name, got, truth)
		}
		runtime.KeepAlive(r)
	}
}
