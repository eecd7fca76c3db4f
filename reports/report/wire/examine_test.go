package wire

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/reporttest"
)

// captured returns the reports of the corpus that match, inflated.
func captured(t testing.TB, patterns ...string) (all [][]byte) {
	t.Helper()
	for _, pattern := range patterns {
		paths, err := filepath.Glob(filepath.Join("..", "..", "testdata", "corpus", pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, path := range paths {
			blob, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			plain, err := ReadBody(bytes.NewReader(blob), true, DefaultMaxBytes)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, plain)
		}
	}
	return all
}

// fatal is a test, or a part of one.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

// scansAsItDecodes checks that scanning and examining say of a report what
// decoding it, validating it and upgrading it say, and reports whether it could
// be scanned.
func scansAsItDecodes(t fatal, plain []byte) (scanned bool) {
	t.Helper()
	r, native, decodeErr := decodeMsgpack(plain, len(plain))
	fault := decodeErr
	if fault == nil {
		fault = report.Validate(r)
	}
	if fault == nil {
		_, fault = report.Upgrade(r)
	}
	facts, scanned := scan(plain)
	if scanned && (fault != nil || !native) {
		t.Fatalf("scanned, but: native is %v, %v", native, fault)
	}
	if scanned {
		checkFacts(t, facts, r)
	}
	facts, err := examine(plain, len(plain))
	if fmt.Sprint(err) != fmt.Sprint(decodeErr) {
		t.Fatalf("%v, want %v", err, decodeErr)
	}
	if err == nil {
		checkFacts(t, facts, r)
		if fmt.Sprint(facts.Fault) != fmt.Sprint(fault) || facts.Keep && !native {
			t.Fatalf("got %+v, want fault %v, native %v", facts, fault, native)
		}
	}
	return scanned
}

func checkFacts(t fatal, f *Facts, r *report.Report) {
	t.Helper()
	if f.Shortcut != r.Shortcut || f.nodes[report.Host] != len(r.Topologies[report.Host].Nodes) {
		t.Fatalf("got %+v, want shortcut %v and %d hosts", f, r.Shortcut, len(r.Topologies[report.Host].Nodes))
	}
	for _, limit := range []int{-1, 0, 1, 2, 100, 1423, 1424, 10_000} {
		if _, dropped := report.DropTopologiesOver(r, limit); !f.Over(limit) && len(dropped) > 0 {
			t.Fatalf("not over %d, but %v is dropped", limit, dropped)
		}
	}
}

// What probes send, and what this package writes, is scanned.
func TestUsualReportsAreScanned(t *testing.T) {
	t.Parallel()
	for i, plain := range captured(t, "k8s-node/*", "hosts/*/*.msgpack.gz") {
		if !scansAsItDecodes(t, plain) {
			t.Errorf("captured report %d is not scanned", i)
		}
		if facts, _ := scan(plain); facts.nodes[report.Process] == 0 || !facts.Over(20) {
			t.Errorf("captured report %d: %+v", i, facts)
		}
		r, err := DecodeMsgpack(plain)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := AppendMsgpack(nil, r)
		if err != nil || !scansAsItDecodes(t, ours) {
			t.Errorf("encoded report %d is not scanned: %v", i, err)
		}
	}
}

func TestUnusualReportsAreDecoded(t *testing.T) {
	t.Parallel()
	for _, plain := range captured(t, "legacy/*.msgpack.gz") {
		scansAsItDecodes(t, plain)
	}
	for _, plain := range []string{
		"", "\xc0", "\x80x", "\xc1",
		"\x81\xa4Host\x81\xa5nodes\x82\xa1a\x80\xa1a\x81\xa2id\xa1b", // one host, twice
		"\x81\xa4Host\x81\xa5nodes\x81\xa0\x80",                      // no ID
		"\x81\xa4Host\x81\xa5nodes\x81\xa1\xff\x80",                  // an ID that is not UTF-8
		"\x81\xa4Host\x81\xa5nodes\x81\xa7a;copy=\x80",               // the key of a copy
		"\x82\xa4Host\x81\xa5nodes\x81\xa1a\x80\xa4Host\x80",         // Host, twice
		"\x81\xa6Window\xff", "\x81\xa6Window\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "\x81\xa6Window\xca\x3f\x80\x00\x00",
		"\x81\xa2TS\xa0", "\x81\xa2TS\xaf\x01\x00\x00\x00\x0e\x77\x91\xf6\xff\x00\x00\x00\x00\xff\xff", // 1969
		"\x81\xa5other\xc0", "\x81\xd9\x02TS\xc0", "\x81\xa4Host\x81\xa5other\xc0",
		"\x81\xa4Host\x81\xa5nodes\x81\xa1a\x81\xa8children\x91\x81\xa2id\xa1b",
	} {
		if scansAsItDecodes(t, []byte(plain)) {
			t.Errorf("%q is scanned", plain)
		}
	}
	for _, plain := range []string{"\x80", "\x81\xa8Shortcut\xc3", "\x81\xa6Window\x00", "\x81\xa4Host\xc0"} {
		if !scansAsItDecodes(t, []byte(plain)) {
			t.Errorf("%q is not scanned", plain)
		}
	}
}

// A scan of a damaged report says nothing that decoding it does not say.
func TestDamagedReportsScanAsTheyDecode(t *testing.T) {
	t.Parallel()
	small := captured(t, "hosts/db-1/*")[0]
	for n := 0; n < len(small); n += 97 {
		scansAsItDecodes(t, small[:n])
	}
	rapid.Check(t, func(t *rapid.T) {
		plain, err := AppendMsgpack(nil, reporttest.Report().Draw(t, "report"))
		if err != nil {
			t.Fatal(err)
		}
		scansAsItDecodes(t, plain)
		for range 20 {
			at := rapid.IntRange(0, len(plain)-1).Draw(t, "at")
			damaged := bytes.Clone(plain)
			damaged[at] = rapid.Byte().Draw(t, "byte")
			scansAsItDecodes(t, damaged)
		}
	})
}

// A report whose decoding would take too much memory is not scanned.
func TestScanIsBounded(t *testing.T) {
	t.Parallel()
	const n = 1 << 16
	nodes := append([]byte("\x81\xa4Host\x81\xa5nodes\xdf\x00\x01\x00\x00"), bytes.Repeat([]byte("\xa1a\x80"), n)...)
	if scansAsItDecodes(t, nodes) {
		t.Error("scanned")
	}
	parents := func(topology, parent string) string {
		return "\xa9" + topology + "\x81\xa5nodes\x81\xa1a\x81\xa7parents\x81" + parent
	}
	ids := "\xdc\x10\x00"
	for i := range 1 << 12 {
		ids += fmt.Sprintf("\xa4%04x", i)
	}
	many := "\x82" + "\xa3" + parents("Pod", "\xabreplica_set"+ids)[1:] + "\xaa" + parents("ReplicaSet", "\xaadeployment"+ids)[1:]
	if _, _, err := decodeMsgpack([]byte(many), len(many)); err != nil {
		t.Fatal(err)
	}
	if scansAsItDecodes(t, []byte(many)) {
		t.Error("a report that may have too many deployments is scanned")
	}
}

func TestScanAllocatesNothing(t *testing.T) {
	plain := captured(t, "k8s-node/*")[0]
	if n := testing.AllocsPerRun(20, func() { scan(plain) }); n > 4 {
		t.Errorf("%v allocations", n)
	}
}

// TestExamineAtOnce examines many reports at a time.
func TestExamineAtOnce(t *testing.T) {
	t.Parallel()
	all := captured(t, "k8s-node/*", "legacy/*.msgpack.gz")
	var g sync.WaitGroup
	for w := range 4 {
		g.Go(func() {
			for i := range 10 {
				plain := all[(w+i)%len(all)]
				f, err := examine(plain, 1)
				if err != nil || f.Fault != nil {
					t.Errorf("%v, %+v", err, f)
				}
			}
		})
	}
	g.Wait()
}

func FuzzExamine(f *testing.F) {
	for _, plain := range captured(f, "legacy/*.msgpack.gz", "hosts/db-1/*") {
		f.Add(plain)
	}
	f.Fuzz(func(t *testing.T, plain []byte) { scansAsItDecodes(t, plain) })
}
