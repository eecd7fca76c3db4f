package timeblob_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/types"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unordered are the packages whose files still use each other.
var unordered = []string{"bucket", "journal", "local"}

// TestFilesCallDownwards keeps the files of a package in an order in which each uses only files below it.
func TestFilesCallDownwards(t *testing.T) {
	t.Parallel()
	checker := newChecker(t)
	for _, p := range checker.packages {
		files, err := checker.parse(p)
		if err != nil {
			t.Fatal(err)
		}
		circles, err := checker.circles(p.ImportPath, files)
		if err != nil {
			t.Errorf("%s: %v", p.ImportPath, err)
		}
		waits := slices.Contains(unordered, strings.TrimPrefix(p.ImportPath, "github.com/timeblob/timeblob/"))
		if waits && len(circles) == 0 {
			t.Errorf("%s: its files are in order: take it off the list", p.ImportPath)
		} else if waits {
			continue
		}
		for _, arrow := range circles {
			t.Errorf("%s: %s, which uses it in turn; move what both need into a file below them", p.ImportPath, arrow)
		}
	}
}

// circles says which files of a package use a file that uses them, also by way of others, and by which names.
// Fields are not counted: a file may read a struct that stands above it.
func (c checker) circles(path string, files []*ast.File) (arrows []string, err error) {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	if _, err := (&types.Config{Importer: c.imports}).Check(path, c.fset, files, info); err != nil {
		return nil, err
	}
	uses := map[string]map[string][]string{} // the names, by the file that uses them and the file that declares them
	for name, object := range info.Uses {
		if object.Pkg() == nil || object.Pkg().Path() != path || !ofPackage(object) {
			continue
		}
		from, to := c.fset.Position(name.Pos()).Filename, c.fset.Position(object.Pos()).Filename
		if from == to {
			continue
		}
		if uses[from] == nil {
			uses[from] = map[string][]string{}
		}
		uses[from][to] = append(uses[from][to], name.Name)
	}
	for from, below := range uses {
		for to, names := range below {
			if reaches(uses, to, from, map[string]bool{}) {
				slices.Sort(names)
				arrows = append(arrows, fmt.Sprintf("%s uses %s of %s", filepath.Base(from),
					strings.Join(slices.Compact(names), ", "), filepath.Base(to)))
			}
		}
	}
	slices.Sort(arrows)
	return arrows, nil
}

// ofPackage reports whether an object is a method or is declared outside functions.
func ofPackage(object types.Object) bool {
	if f, ok := object.(*types.Func); ok && f.Signature().Recv() != nil {
		return true
	}
	return object.Parent() == object.Pkg().Scope()
}

func reaches(uses map[string]map[string][]string, from, to string, seen map[string]bool) bool {
	if from == to {
		return true
	}
	seen[from] = true
	for next := range maps.Keys(uses[from]) {
		if !seen[next] && reaches(uses, next, to, seen) {
			return true
		}
	}
	return false
}

func TestFilesRule(t *testing.T) {
	t.Parallel()
	checker := newChecker(t)
	for _, c := range []struct {
		a, b, c string
		arrows  int
	}{
		{"func f() { g() }", "func g() {}", "", 0},
		{"func f() { g() }", "func g() { _ = f }", "", 2},
		{"func f() { g() }", "func g() { h() }", "func h() { f() }", 3},
		{"type t struct{}\nfunc (t) f() { g() }", "func g() { t{}.f() }", "", 2},
		{"type t[V any] struct{}\nfunc (t[V]) f() { g() }", "func g() { new(t[int]).f() }", "", 2},
		{"func f() { g() }", "func g() { f := 1; _ = f }", "", 0},
	} {
		var files []*ast.File
		for name, text := range map[string]string{"a.go": c.a, "b.go": c.b, "c.go": c.c} {
			file, err := parser.ParseFile(checker.fset, name, "package p\n"+text+"\n", parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		got, err := checker.circles("p", files)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != c.arrows {
			t.Errorf("%q, %q, %q: got %q, want %d arrows", c.a, c.b, c.c, got, c.arrows)
		}
	}
}
