// Package goldentest finds the corpus of captured reports, and compares JSON
// with what Weave Scope made of them by meaning: null, absent and empty are the
// same; the keys of objects, the parts of active_controls, children and Plugins
// have no order.
package goldentest

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Path returns the path of a file or folder of the corpus, such as
// Path("golden", "hosts", "summaries.tsv").
func Path(elem ...string) string {
	_, here, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(here), "..", "..", "testdata", "corpus")
	return filepath.Join(append([]string{root}, elem...)...)
}

// Files returns the files of the corpus that match a pattern of
// [filepath.Match], such as "hosts/*/*.msgpack.gz", in the order of their base
// names. None is a failure of the test.
func Files(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(Path(filepath.FromSlash(pattern)))
	if err != nil || len(files) == 0 {
		t.Fatalf("no file of the corpus matches %s: %v", pattern, err)
	}
	slices.SortFunc(files, func(a, b string) int {
		return strings.Compare(filepath.Base(a), filepath.Base(b))
	})
	return files
}

// Read returns the content of a file.
func Read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Inflate returns what is in a gzip'd file.
func Inflate(t testing.TB, path string) []byte {
	t.Helper()
	zr, err := gzip.NewReader(bytes.NewReader(Read(t, path)))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	plain, err := io.ReadAll(zr)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return plain
}

// Equal fails the test when two JSON texts differ in meaning, and shows the
// first differences. Paths that ignore reports true for are left out of the
// comparison; nil ignores nothing.
func Equal(t testing.TB, got, want []byte, ignore func(path []string) bool) {
	t.Helper()
	diff, err := Diff(got, want, ignore)
	if err != nil {
		t.Error(err)
	}
	for i, line := range diff {
		if i == 10 {
			t.Errorf("and %d more differences", len(diff)-i)
			return
		}
		t.Error(line)
	}
}
