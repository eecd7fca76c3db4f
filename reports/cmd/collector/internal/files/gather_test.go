package files

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
)

// touch makes empty files below a new directory, and returns it.
func touch(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// gathered returns the paths, relative to dir, and what was said.
func gathered(t *testing.T, dir string, args ...string) (files []string, failed int, said string) {
	t.Helper()
	var stderr bytes.Buffer
	p := &cli.Process{Stderr: terminal.NewWriter(&stderr)}
	b, err := Gather(p, args)
	if err != nil {
		t.Fatalf("gather %q: %v: %s", args, err, &stderr)
	}
	for _, path := range b.Files {
		name, err := filepath.Rel(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, name)
	}
	return files, b.failed, stderr.String()
}

func TestFilesAreTakenInTheOrderOfTheirBaseNames(t *testing.T) {
	t.Parallel()
	dir := touch(t, "b/10.json", "a/9.msgpack.gz", "c/9.msgpack", "b/9.msgpack.gz", "x/b.json", "x/a.json.gz",
		"-5.json", "-40.json", "007.json", "d/e/f/1.json")
	files, failed, said := gathered(t, dir, dir)
	want := []string{"-40.json", "-5.json", "d/e/f/1.json", "007.json", "c/9.msgpack", "a/9.msgpack.gz", "b/9.msgpack.gz",
		"b/10.json", "x/a.json.gz", "x/b.json"}
	if !slices.Equal(files, want) || failed != 0 || said != "" {
		t.Errorf("got %q, %d failed, said %q, want %q", files, failed, said, want)
	}
}

func TestAFileIsTakenOnce(t *testing.T) {
	t.Parallel()
	dir := touch(t, "1.json", "sub/2.json")
	files, failed, _ := gathered(t, dir, filepath.Join(dir, "sub", "..", "1.json"), dir, filepath.Join(dir, "sub"),
		filepath.Join(dir, "1.json"))
	if want := []string{"1.json", "sub/2.json"}; !slices.Equal(files, want) || failed != 0 {
		t.Errorf("got %q, want %q", files, want)
	}
}

func TestOtherFilesAreWarnedOfOnce(t *testing.T) {
	t.Parallel()
	dir := touch(t, "1.json", "a.txt", "b.txt", "c.txt", "d.txt", ".json", "draft.json.tmp")
	files, failed, said := gathered(t, dir, dir)
	if !slices.Equal(files, []string{"1.json"}) || failed != 0 {
		t.Errorf("got %q, %d failed", files, failed)
	}
	if strings.Count(said, "\n") != 1 || !strings.Contains(said, "6 files") || !strings.Contains(said, "a.txt") {
		t.Errorf("said %q", said)
	}
}

func TestAMissingFileDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	dir := touch(t, "1.json")
	missing := filepath.Join(dir, "2.json")
	files, failed, said := gathered(t, dir, missing, dir)
	if !slices.Equal(files, []string{"1.json"}) || failed != 1 || strings.Count(said, missing) != 1 {
		t.Errorf("got %q, %d failed, said %q", files, failed, said)
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	dir := touch(t, "real/1.json")
	for link, target := range map[string]string{
		"real/2.json": "1.json", "real/loop": ".", "real/3.json": "nowhere", "top": "real",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	files, failed, _ := gathered(t, dir, filepath.Join(dir, "top"))
	if want := []string{"top/1.json", "top/2.json"}; !slices.Equal(files, want) || failed != 0 {
		t.Errorf("got %q, %d failed, want %q", files, failed, want)
	}
}
