package wire

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"unsafe"

	"github.com/timeblob/timeblob/reports/report"
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

// sameBriefly checks that a decoder that is brief reads what others read, and
// that it makes the same of it.
func sameBriefly(t *testing.T, d *decoder, plain []byte) {
	t.Helper()
	defer d.letGo()
	want, wantErr := DecodeMsgpack(plain)
	got, by, err := d.decode(plain)
	if fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Fatalf("%v, want %v", err, wantErr)
	}
	facts, factsErr := examine(plain, len(plain))
	if fmt.Sprint(factsErr) != fmt.Sprint(wantErr) {
		t.Fatalf("facts: %v, want %v", factsErr, wantErr)
	}
	if err != nil {
		return
	}
	if a, b := mustJSON(t, got), mustJSON(t, want); !bytes.Equal(a, b) {
		t.Errorf("got %.500s, want %.500s", a, b)
	}
	checkFacts(t, facts, want, by.foreign)
}

func checkFacts(t *testing.T, f *Facts, r *report.Report, foreign bool) {
	t.Helper()
	fault := report.Validate(r)
	if fault == nil {
		_, fault = report.Upgrade(r)
	}
	if fmt.Sprint(f.Fault) != fmt.Sprint(fault) || f.Shortcut != r.Shortcut || f.Keep && foreign {
		t.Errorf("got %+v, want fault %v, shortcut %v, foreign %v", f, fault, r.Shortcut, foreign)
	}
	for _, limit := range []int{-1, 0, 1, 2, 100, 1423, 1424, 10_000} {
		if _, dropped := report.DropTopologiesOver(r, limit); f.Over(limit) != (len(dropped) > 0) {
			t.Errorf("over %d: %v, but %v is dropped", limit, f.Over(limit), dropped)
		}
	}
}

func mustJSON(t *testing.T, r *report.Report) []byte {
	t.Helper()
	text, err := AppendJSON(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestBriefDecoder reads all kinds of reports one after the other, large and
// small, good and bad, each as if it were the first.
func TestBriefDecoder(t *testing.T) {
	t.Parallel()
	d := &decoder{brief: true}
	large, small, old := captured(t, "k8s-node/*"), captured(t, "hosts/*/*"), captured(t, "legacy/*.msgpack.gz")
	for i, plain := range small {
		sameBriefly(t, d, plain)
		sameBriefly(t, d, large[i%len(large)])
		sameBriefly(t, d, old[i%len(old)])
		sameBriefly(t, d, plain[:len(plain)*i/len(small)])
		sameBriefly(t, d, []byte("\x81\xa4Host\x81\xa5nodes\x82\xa1a\x80\xa1a\x81\xa2id\xa1b"))
		sameBriefly(t, d, []byte("\x81\xa4Host\x81\xa5nodes\x81\xa0\x80"))
		sameBriefly(t, d, []byte("\x81\xa8Shortcut\xc3"))
	}
	if n := len(d.nodes.whole); n == 0 || len(d.nodes.free) != n {
		t.Errorf("%d of %d nodes are free", len(d.nodes.free), n)
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

// TestExamineTakesLittle holds: a look at a report allocates next to nothing.
func TestExamineTakesLittle(t *testing.T) {
	plain := captured(t, "k8s-node/*")[0]
	d := &decoder{brief: true}
	look := func() {
		defer d.letGo()
		if _, _, err := d.decode(plain); err != nil {
			t.Fatal(err)
		}
	}
	look()
	look()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 20 {
		look()
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / 20; n > uint64(len(plain))/4 {
		t.Errorf("%d bytes allocated for a report of %d", n, len(plain))
	}
}

// TestExamineIsBounded holds: a look at a bomb takes no more than to decode it
// may, and what is kept for the next report is little.
func TestExamineIsBounded(t *testing.T) {
	nodes := append([]byte("\x81\xa4Host\x81\xa5nodes\xdf\x00\x01\x00\x00"), bytes.Repeat([]byte("\xa1a\x80"), 1<<16)...)
	d := &decoder{brief: true}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := d.decode(nodes)
	runtime.ReadMemStats(&after)
	if n, limit := after.TotalAlloc-before.TotalAlloc, uint64(memoryFactor*len(nodes)+4*maxWhole); err == nil || n > limit {
		t.Errorf("%d bytes allocated for %d, at most %d wanted; %v", n, len(nodes), limit, err)
	}
	d.letGo()
	if n := len(d.nodes.whole) * int(unsafe.Sizeof(report.Node{})); n > maxWhole {
		t.Errorf("%d bytes are kept", n)
	}
}

func FuzzExamine(f *testing.F) {
	for _, plain := range captured(f, "legacy/*.msgpack.gz") {
		f.Add(plain)
	}
	d := &decoder{brief: true}
	f.Fuzz(func(t *testing.T, plain []byte) { sameBriefly(t, d, plain) })
}
