package timeblob_test

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// An exported name for a type of an internal package is all that a user sees of that type: go doc prints the
// comment of the name, and not the fields.
func TestNamesOfInternalTypesShowTheirFields(t *testing.T) {
	t.Parallel()
	all := sources(t)
	names := 0
	for _, s := range all {
		for _, a := range s.internalNames() {
			names++
			for _, line := range a.undocumented(all) {
				t.Errorf("%s: the comment of %s lacks the line %q of the type", s.path, a.name, line)
			}
		}
	}
	if names == 0 {
		t.Error("no exported name of an internal type was found")
	}
}

// internalName is an exported name for a type of an internal package of this module.
type internalName struct {
	name, doc string
	dir, of   string // the type's package and name
}

// internalNames returns the names that a file of a public package gives to internal types.
func (s source) internalNames() (all []internalName) {
	if strings.Contains(s.path, "internal") || strings.HasSuffix(s.path, "_test.go") {
		return nil
	}
	for _, d := range s.file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range decl.Specs {
			x, ok := spec.(*ast.TypeSpec)
			if !ok || !x.Assign.IsValid() || !x.Name.IsExported() {
				continue
			}
			doc := x.Doc
			if doc == nil {
				doc = decl.Doc
			}
			if of, ok := x.Type.(*ast.SelectorExpr); ok {
				if dir := s.internalDir(fmt.Sprint(of.X)); dir != "" {
					all = append(all, internalName{x.Name.Name, doc.Text(), dir, of.Sel.Name})
				}
			}
		}
	}
	return all
}

// internalDir returns the directory of an imported internal package of this module, "" for other packages.
func (s source) internalDir(pkg string) string {
	for _, spec := range s.file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		if dir, ok := strings.CutPrefix(imported, module); ok && strings.Contains(dir, "internal/") && filepath.Base(dir) == pkg {
			return dir
		}
	}
	return ""
}

// undocumented returns the lines of the type, with comments, that the comment of the name lacks.
func (a internalName) undocumented(all []source) (lines []string) {
	documented := linesOf(a.doc)
	for _, line := range typeLines(all, a.dir, a.of) {
		if !slices.Contains(documented, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// typeLines returns the lines between the braces of a type.
func typeLines(all []source, dir, name string) []string {
	for _, s := range all {
		if filepath.ToSlash(filepath.Dir(s.path)) != dir || s.file.Scope.Lookup(name) == nil {
			continue
		}
		spec := s.file.Scope.Lookup(name).Decl.(*ast.TypeSpec)
		text, err := os.ReadFile(s.path)
		if err != nil {
			return []string{err.Error()}
		}
		body := string(text[s.fset.Position(spec.Type.Pos()).Offset:s.fset.Position(spec.Type.End()).Offset])
		return linesOf(strings.TrimSuffix(body[strings.IndexByte(body, '{')+1:], "}"))
	}
	return []string{"type " + name + " of " + dir}
}

// linesOf returns the lines that are not empty, with single spaces.
func linesOf(text string) (lines []string) {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 0 {
			lines = append(lines, strings.Join(fields, " "))
		}
	}
	return lines
}

func TestInternalNamesRule(t *testing.T) {
	t.Parallel()
	s, err := parse("bucket/some.go", "package bucket\n\nimport (\n\t\"github.com/timeblob/timeblob/index\"\n"+
		"\t\"github.com/timeblob/timeblob/internal/guard\"\n)\n\n// PanicError says so.\n//\n//\tFunc  string // which function, as \"decode\" or \"merge\"\n"+
		"type PanicError = guard.PanicError\n\ntype own = guard.PanicError\n\ntype Row = index.Row\n")
	if err != nil {
		t.Fatal(err)
	}
	names := s.internalNames()
	if len(names) != 1 {
		t.Fatalf("found %v, want PanicError only", names)
	}
	want := []string{"Value any // what it panicked with", "Stack []byte // of the goroutine that panicked"}
	if got := names[0].undocumented(sources(t)); !slices.Equal(got, want) {
		t.Errorf("undocumented: %q, want %q", got, want)
	}
}
