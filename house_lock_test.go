package timeblob_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// lockMethods are the methods of sync's mutexes that may be called only in the file of their owner.
var lockMethods = []string{"Lock", "TryLock", "RLock", "TryRLock", "RLocker"}

func TestOneOwnerPerLock(t *testing.T) {
	t.Parallel()
	checker := newChecker(t)
	for _, p := range checker.packages {
		breaches, err := checker.lockBreaches(p)
		if err != nil {
			t.Errorf("%s: %v", p.ImportPath, err)
		}
		for _, breach := range breaches {
			t.Errorf("%s; make it a method of the owner, in the owner's file", breach)
		}
	}
}

// checker type-checks packages from source, and takes what they import from compiled packages.
type checker struct {
	fset     *token.FileSet
	imports  types.Importer
	packages []compiled // this module's
}

// compiled is what go list says about a package that it has compiled.
type compiled struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	Module                  *struct{ Main bool }
}

func newChecker(t *testing.T) checker {
	t.Helper()
	c := checker{fset: token.NewFileSet()}
	exports := map[string]string{}
	command := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,Module", "./...", "sync")
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p compiled
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if p.Module != nil && p.Module.Main {
			c.packages = append(c.packages, p)
		}
	}
	c.imports = importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	return c
}

// lockBreaches says where a package locks a mutex in another file than the one that declares it.
func (c checker) lockBreaches(p compiled) ([]string, error) {
	files, err := c.parse(p)
	if err != nil {
		return nil, err
	}
	return c.locks(p.ImportPath, files)
}

func (c checker) parse(p compiled) (files []*ast.File, err error) {
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(c.fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

func (c checker) locks(path string, files []*ast.File) ([]string, error) {
	info := &types.Info{Selections: map[*ast.SelectorExpr]*types.Selection{}, Uses: map[*ast.Ident]types.Object{}}
	if _, err := (&types.Config{Importer: c.imports}).Check(path, c.fset, files, info); err != nil {
		return nil, err
	}
	var breaches []string
	for _, file := range files {
		ast.Inspect(file, func(node ast.Node) bool {
			call, ok := node.(*ast.SelectorExpr)
			if !ok || !isLock(info, call) {
				return true
			}
			at, owner := c.fset.Position(call.Pos()), c.fset.Position(owner(info, call).Pos())
			if owner.IsValid() && at.Filename != owner.Filename {
				breaches = append(breaches, fmt.Sprintf("%s:%d: %s locks a mutex of %s",
					at.Filename, at.Line, types.ExprString(call), filepath.Base(owner.Filename)))
			}
			return true
		})
	}
	return breaches, nil
}

// isLock tells whether a selector names a method of sync.Mutex or sync.RWMutex, its own or an embedded one's.
func isLock(info *types.Info, call *ast.SelectorExpr) bool {
	selection := info.Selections[call]
	if selection == nil || !slices.Contains(lockMethods, call.Sel.Name) {
		return false
	}
	method, ok := selection.Obj().(*types.Func)
	if !ok || method.Pkg() == nil || method.Pkg().Path() != "sync" {
		return false
	}
	receiver := method.Signature().Recv().Type().String()
	return strings.HasSuffix(receiver, "Mutex")
}

// owner is the field or variable that holds the mutex: the embedded one, or what stands before the method.
func owner(info *types.Info, call *ast.SelectorExpr) types.Object {
	if selection := info.Selections[call]; len(selection.Index()) > 1 {
		return embedded(selection)
	}
	switch before := ast.Unparen(call.X).(type) {
	case *ast.SelectorExpr:
		if selection := info.Selections[before]; selection != nil {
			return origin(selection.Obj())
		}
		return info.Uses[before.Sel] // another package's variable
	case *ast.Ident:
		return origin(info.Uses[before])
	}
	return nobody
}

// nobody stands for mutexes that come out of calls and indices. Their place is not known.
var nobody types.Object = types.NewVar(token.NoPos, nil, "", nil)

// embedded follows a selection to the field whose method it promotes.
func embedded(selection *types.Selection) types.Object {
	t := selection.Recv()
	var field *types.Var
	for _, i := range selection.Index()[:len(selection.Index())-1] {
		if pointer, ok := t.Underlying().(*types.Pointer); ok {
			t = pointer.Elem()
		}
		field = t.Underlying().(*types.Struct).Field(i)
		t = field.Type()
	}
	return field.Origin()
}

// origin is the field of a generic type that a field of an instance comes from.
func origin(object types.Object) types.Object {
	if v, ok := object.(*types.Var); ok {
		return v.Origin()
	}
	return object
}

func TestLockRule(t *testing.T) {
	t.Parallel()
	checker := newChecker(t)
	const owner = `package p

import "sync"

type T[V any] struct{ mu sync.Mutex }
type U struct{ sync.RWMutex }
type V struct{ *U }

var global sync.Mutex

func (t *T[V]) own()  { t.mu.Lock(); defer t.mu.Unlock() }

`
	for _, c := range []struct {
		text     string
		breaches int
	}{
		{"func (t *T[V]) other() { t.mu.Lock() }", 1},
		{"func f(t *T[int]) { if t.mu.TryLock() { defer t.mu.Unlock() } }", 1},
		{"func f(u *U) { u.RLock(); u.RWMutex.RLock() }", 2},
		{"func f(v V) { v.Lock() }", 1},
		{"func f(v struct{ u *V }) { v.u.U.Lock() }", 1},
		{"func f() { global.Lock() }", 1},
		{"func f() { take := global.Lock; take() }", 1},
		{"func f() { var mu sync.Mutex; mu.Lock(); mu.Unlock() }", 0},
		{"type own struct{ mu sync.Mutex }\nfunc (o *own) f() { o.mu.Lock() }", 0},
		{"type latch struct{}\nfunc (latch) Lock() {}\nfunc f(l latch) { l.Lock() }", 0},
		{"func f(l sync.Locker) { l.Lock() }", 0},
	} {
		var files []*ast.File
		for name, text := range map[string]string{"owner.go": owner, "p.go": "package p\nimport \"sync\"\nvar _ sync.Once\n" + c.text + "\n"} {
			file, err := parser.ParseFile(checker.fset, name, text, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		got, err := checker.locks("p", files)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != c.breaches {
			t.Errorf("%s: got %q, want %d breaches", c.text, got, c.breaches)
		}
	}
}
