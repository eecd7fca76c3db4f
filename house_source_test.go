package timeblob_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	maxFileLines     = 500
	maxFunctionLines = 60
	maxFiles         = 25 // of a package, tests apart
)

func TestFilesAndFunctionsStayShort(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if lines := s.lines(); lines > maxFileLines {
			t.Errorf("%s has %d lines, more than %d: give each of its ideas a file", s.path, lines, maxFileLines)
		}
		for _, breach := range s.longFunctions() {
			t.Errorf("%s, more than %d: split it at its steps", breach, maxFunctionLines)
		}
	}
}

func TestNothingIsLeftForLater(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		for _, breach := range s.markers() {
			t.Errorf("%s: do it now, or describe the limit in the doc comment", breach)
		}
	}
}

func TestPackagesHaveFewFiles(t *testing.T) {
	t.Parallel()
	for _, breach := range crowdedPackages(sources(t)) {
		t.Errorf("%s: a package of more than %d files holds more than one noun; split it", breach, maxFiles)
	}
}

// crowdedPackages says which directories have too many Go files, tests apart.
func crowdedPackages(all []source) []string {
	files := map[string]int{}
	for _, s := range all {
		if !strings.HasSuffix(s.path, "_test.go") {
			files[filepath.ToSlash(filepath.Dir(s.path))]++
		}
	}
	var breaches []string
	for _, dir := range slices.Sorted(maps.Keys(files)) {
		if files[dir] > maxFiles {
			breaches = append(breaches, fmt.Sprintf("%s has %d files", dir, files[dir]))
		}
	}
	return breaches
}

// source is one parsed Go file.
type source struct {
	path string
	fset *token.FileSet
	file *ast.File
}

// sources parses every Go file of the checkout, with nested modules and tests, and without generated files.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := walk(".", func(path string, _ fs.DirEntry) error {
		if filepath.Ext(path) != ".go" {
			return nil
		}
		s, err := parse(path, nil)
		if err == nil && !ast.IsGenerated(s.file) {
			all = append(all, s)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// walk visits the files below a directory, without folders for tools and for tests' data.
func walk(root string, visit func(path string, entry fs.DirEntry) error) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		skip := strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "node_modules"
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && skip:
			return filepath.SkipDir
		case entry.IsDir():
			return nil
		}
		return visit(path, entry)
	})
}

// parse reads the file at path, or text if it is not nil.
func parse(path string, text any) (source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, text, parser.ParseComments)
	return source{path, fset, file}, err
}

func (s source) line(pos token.Pos) int { return s.fset.Position(pos).Line }

// lines counts the newlines; FileEnd is behind the last.
func (s source) lines() int { return s.line(s.file.FileEnd - 1) }

// longFunctions says which functions, named or not, have too many lines, without their comments above.
func (s source) longFunctions() []string {
	var breaches []string
	ast.Inspect(s.file, func(node ast.Node) bool {
		switch node.(type) {
		case *ast.FuncDecl, *ast.FuncLit:
			begin := s.line(node.Pos())
			if lines := s.line(node.End()) - begin + 1; lines > maxFunctionLines {
				breaches = append(breaches, fmt.Sprintf("%s:%d: a function of %d lines", s.path, begin, lines))
			}
		}
		return true
	})
	return breaches
}

var marker = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK|WIP)\b`)

// markers says which comments put something off.
func (s source) markers() []string {
	var breaches []string
	for _, group := range s.file.Comments {
		for _, comment := range group.List {
			if found := marker.FindString(comment.Text); found != "" {
				breaches = append(breaches, fmt.Sprintf("%s:%d: a %s", s.path, s.line(comment.Pos()), found))
			}
		}
	}
	return breaches
}

func TestSourceRules(t *testing.T) {
	t.Parallel()
	body := func(lines int) string { return strings.Repeat("\n", lines-1) }
	for _, c := range []struct {
		text                      string
		lines, functions, markers int
	}{
		{"package p\nfunc f() {" + body(60) + "}\n", 61, 0, 0},
		{"package p\nfunc f() {" + body(61) + "}\n", 62, 1, 0},
		{"package p\n// Long\n// comment.\nfunc f() {" + body(60) + "}\n", 63, 0, 0},
		{"package p\nvar f = func() {" + body(61) + "}\n", 62, 1, 0},
		{"package p\n// TO" + "DO: more.\nfunc f() {}\n", 3, 0, 1},
		{"package p\nfunc f() { /* FIX" + "ME */ }\n", 2, 0, 1},
		{"package p\nconst todo = \"TO" + "DO\" // what is to do\n", 2, 0, 0},
	} {
		s, err := parse("p.go", c.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := [3]int{s.lines(), len(s.longFunctions()), len(s.markers())}; got != [3]int{c.lines, c.functions, c.markers} {
			t.Errorf("%.40q…: got %v lines, long functions and markers, want %d, %d, %d", c.text, got, c.lines, c.functions, c.markers)
		}
	}
}

func TestFileCountRule(t *testing.T) {
	t.Parallel()
	var all []source
	for _, c := range []struct {
		dir, suffix string
		files       int
	}{{"full", ".go", 25}, {"full", "_test.go", 5}, {"crowded", ".go", 26}} {
		for i := range c.files {
			all = append(all, source{path: filepath.Join(c.dir, fmt.Sprint("f", i)+c.suffix)})
		}
	}
	if got := crowdedPackages(all); len(got) != 1 || got[0] != "crowded has 26 files" {
		t.Errorf("got %q, want the package of 26 files", got)
	}
}
