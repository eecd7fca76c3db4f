package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const before = `package p

import "context"

const Limit int64 = 1 << 40

var Err error

// T is a type.
type T[V any] struct {
	Size  int64
	inner int
	context.Context
}

func (t *T[V]) Get(ctx context.Context, keys ...string) (v V, err error) { return }
func (t T[V]) hidden()                                                  {}

type Driver interface {
	Put(key string) error
	sealed()
}
type Merge[V any] func(parts []V) (V, error)
type Alias = Merge[int]
type number interface{ ~int | ~int64 }

func Sum[N number](values []N) N { var n N; return n }
`

var want = []string{
	"const Limit int64 = 1099511627776",
	"func Sum[N number]([]N) N",
	"method (*T) Get(context.Context, ...string) (V, error)",
	"type Alias = Merge[int]",
	"type Driver interface, Put(string) error",
	"type Driver interface, with methods that are not exported",
	"type Merge[V any] func([]V) (V, error)",
	"type T struct, Size int64",
	"type T struct, embeds context.Context",
	"type T[V any] struct",
	"var Err error",
}

func TestEveryChangeIsShown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "go.mod", "module example.com/m\n\ngo 1.26\n")
	write(t, dir, "p/p.go", before)
	write(t, dir, "p/internal/i/i.go", "package i\n\nconst Hidden = 1\n")
	write(t, dir, "cmd/main.go", "package main\n\nfunc Main() {}\n\nfunc main() {}\n")
	if err := run(dir, true); err != nil {
		t.Fatal(err)
	}
	golden, err := read(filepath.Join(dir, folder))
	if err != nil {
		t.Fatal(err)
	}
	if len(golden) != 1 || !slices.Equal(golden["p"], want) {
		t.Errorf("got %d packages, p:\n%s\nwant:\n%s", len(golden), strings.Join(golden["p"], "\n"), strings.Join(want, "\n"))
	}
	if err := run(dir, false); err != nil {
		t.Errorf("unchanged: %v", err)
	}

	write(t, dir, "p/p.go", strings.NewReplacer("Size  int64", "Size  int32", "keys ...", "names ...", "sealed()", "Sealed()").Replace(before))
	write(t, dir, "q/q.go", "package q\n\nfunc New() {}\n")
	if err := run(dir, false); err == nil {
		t.Error("a changed API passes")
	}
	now, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(compare(golden, now), "\n")
	const changes = `p
  + type Driver interface
  + type Driver interface, Sealed()
  - type Driver interface, with methods that are not exported
  + type T struct, Size int32
  - type T struct, Size int64
q
  + func New()`
	if got != changes {
		t.Errorf("got changes\n%s\nwant\n%s", got, changes)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
