package journal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/internal/alloctest"
)

// golden is a segment as version 1 writes it, for ever: its header, a record,
// a copy of a record, and a record that calls two others done.
const golden = `
54424a4f55524e4c 0000000000000003 0000000000000007 6d61726b6d61726b 00000001 818ed2b3
6d61726b6d61726b 0000000000000007 0000000000000007 02000000 00000006 00000004 d35bcb78 4dafebd9
74656e616e74 626c6f62
6d61726b6d61726b 0000000000000008 0000000000000002 ff000000 00000000 00000001 a93c5f93 2df47d6f
78
6d61726b6d61726b 0000000000000009 0000000000000009 00000000 00000003 00000000 a6e61792 8d85783d
0e8a3f
`

// TestGolden compares what is written with frozen bytes, and reads these.
func TestGolden(t *testing.T) {
	t.Parallel()
	want, err := hex.DecodeString(strings.NewReplacer("\n", "", " ", "").Replace(golden))
	if err != nil {
		t.Fatal(err)
	}
	m := mark([]byte("markmark"))
	got := header{id: 3, first: 7, mark: m}.bytes()
	for _, r := range []struct {
		head
		meta, blob string
	}{
		{head{seq: 7, id: 7, kind: 2}, "tenant", "blob"},
		{head{seq: 8, id: 2, kind: 255}, "", "x"},
		{head{seq: 9, id: 9, kind: kindEnd}, string(appendEnds(nil, []uint64{7, 4044})), ""},
	} {
		r.head.meta, r.head.blob, r.body = uint32(len(r.meta)), uint32(len(r.blob)), checksum([]byte(r.meta), []byte(r.blob))
		got = append(r.append(got, m), r.meta+r.blob...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, segmentName(3)), want)
	state := goldenState(t)
	for size, want := range map[int][]string{
		len(state): {"2=:x done", "7=tenant:blob done"},
		stateSize:  {"2=:x", "7=tenant:blob done"}, // an earlier version writes so much
	} {
		writeFile(t, filepath.Join(dir, stateName), state[:size])
		j := mustOpen(t, dir, &Options{ReadOnly: true})
		if got := all(t, j); !slices.Equal(got, want) || len(j.Damage()) > 0 {
			t.Errorf("%d bytes of STATE: got %q and %v", size, got, j.Damage())
		}
		mustClose(t, j)
	}
}

// goldenState is STATE as version 1 writes it.
func goldenState(t *testing.T) []byte {
	t.Helper()
	v := stateValues{oldest: 3, newest: 3, acked: 9, done: 2}
	want, err := hex.DecodeString("54424a5354415445" + "0000000000000003" + "0000000000000003" + "0000000000000009" + "00000001" + "e12c305d" +
		"54424a53444f4e45" + "0000000000000002" + "fb97e2ef")
	if err != nil {
		t.Fatal(err)
	}
	if got := v.bytes(); !slices.Equal(got, want) {
		t.Errorf("STATE is %x, want %x", got, want)
	}
	return want
}

func TestEndsKeepTheirNumbers(t *testing.T) {
	t.Parallel()
	for _, ids := range [][]uint64{nil, {1}, {1, 2, 3}, {3, 2, 1}, {math.MaxUint64, 1, 1 << 63, 0}} {
		var got []uint64
		b := appendEnds(nil, ids)
		if ok := parseEnds(b, func(id uint64) { got = append(got, id) }); !ok || !slices.Equal(got, ids) {
			t.Errorf("%v became %v", ids, got)
		}
		if len(b) > 0 && parseEnds(append(b, 0x80), func(uint64) {}) {
			t.Errorf("%v with a cut number is whole", ids)
		}
	}
}

// openFixed is how many bytes Open may allocate beside its input: the windows of its scanners, and metrics.
const openFixed = 2*(windowSize+3*blockSize) + 512<<10

// FuzzOpen opens a directory with one or two segments of any bytes. It must
// not fail, need memory out of proportion, or tell records that have a wrong
// checksum. What it finds, the next Open finds as well. The next Open may find more where records stood
// in the wrong order, as in files with damaged headers and wrong names: it has removed what stood before them.
func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	j := mustOpen(f, dir, nil)
	mustAppend(f, j, "meta", "blob")
	j.End(mustAppend(f, j, "", "more"))
	mustClose(f, j)
	whole := readFile(f, filepath.Join(dir, segmentName(1)))
	state := readFile(f, filepath.Join(dir, stateName))
	f.Add(whole, []byte{}, state)
	f.Add(whole, whole, state)
	f.Add(whole[:len(whole)-5], whole, []byte{})
	f.Add(append(slices.Clone(whole), whole[headerSize:]...), []byte("x"), state[:7])
	f.Fuzz(func(t *testing.T, first, second, state []byte) {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, segmentName(1)), first)
		if len(second) > 0 {
			writeFile(t, filepath.Join(dir, segmentName(2)), second)
		}
		if len(state) > 0 {
			writeFile(t, filepath.Join(dir, stateName), state)
		}
		var found [2][]string
		disorder := false
		for i := range found {
			var j *Journal
			var err error
			alloctest.Bounded(t, "opening", int64(len(first)+len(second)+len(state)), openFixed, func() {
				j, err = Open(dir, &Options{MaxBytes: 1 << 40, Sync: Off}) // syncs would take most of the time
			})
			if err != nil {
				if _, newer := errors.AsType[*VersionError](err); !newer {
					t.Fatal(err)
				}
				return
			}
			found[i] = undone(t, j)
			disorder = disorder || slices.ContainsFunc(j.Damage(), func(d Damage) bool { return strings.Contains(d.Reason, "stands after record") })
			mustClose(t, j)
		}
		if disorder {
			found[1] = slices.DeleteFunc(found[1], func(r string) bool { return !slices.Contains(found[0], r) })
		}
		if !slices.Equal(found[0], found[1]) {
			t.Errorf("first %q, then %q", found[0], found[1])
		}
	})
}

// TestScanNeedsBoundedMemory scans a file whose heads claim much more than it
// has, and a large one.
func TestScanNeedsBoundedMemory(t *testing.T) {
	m := mark([]byte("markmark"))
	huge := head{seq: 1, id: 1, kind: 1, meta: math.MaxUint32, blob: math.MaxUint32}.append(header{id: 1, first: 1, mark: m}.bytes(), m)
	ends := append(head{seq: 1, id: 1, kind: kindEnd, meta: 8 << 20, body: checksum(make([]byte, 8<<20), nil)}.
		append(header{id: 1, first: 1, mark: m}.bytes(), m), make([]byte, 8<<20)...)
	for name, b := range map[string][]byte{"huge lengths": huge, "a long list": ends} {
		file := bytes.NewReader(b)
		result := testing.Benchmark(func(bench *testing.B) {
			for bench.Loop() {
				s := newScanner(file, int64(len(b)), m)
				for h, offset, _, ok := s.next(); ok; h, offset, _, ok = s.next() {
					s.meta(h, offset)
				}
			}
		})
		if n := result.AllocedBytesPerOp(); n > windowSize+3*blockSize {
			t.Errorf("%s: a scan of %d bytes allocates %d", name, len(b), n)
		}
	}
}
