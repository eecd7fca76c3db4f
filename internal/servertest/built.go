package servertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// Built returns the path of a main package's program. It builds the package once for the whole test binary, whose
// TestMain must use Main, which removes the program.
func Built(t testing.TB, pkg string) (path string) {
	t.Helper()
	path, err := builds.get(pkg)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var builds programs

// programs are what Built has built, in one directory.
type programs struct {
	mu    sync.Mutex // guards what follows, and is held for a build
	dir   string
	paths map[string]string // by package
}

func (b *programs) get(pkg string) (path string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if path, ok := b.paths[pkg]; ok {
		return path, nil
	}
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "timeblob-built-*"); err != nil {
			return "", err
		}
		b.paths = make(map[string]string)
	}
	path = filepath.Join(b.dir, strconv.Itoa(len(b.paths)))
	if out, err := exec.Command("go", "build", "-o", path, pkg).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w: %s", pkg, err, out)
	}
	b.paths[pkg] = path
	return path, nil
}

func (b *programs) remove() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := os.RemoveAll(b.dir)
	b.dir, b.paths = "", nil
	return err
}
