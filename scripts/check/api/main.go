// Command api compares the exported API of a module with the files in its folder api, one for each package,
// and prints what was added and removed.
//
//	api [-C DIR] [-write]
//
// With -write it brings the files up to date instead. Commands, packages in internal folders and nested modules
// have no API. A line does not hold the names of parameters, because callers do not depend on them.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

const folder = "api"

func main() {
	dir := flag.String("C", ".", "the `directory` of the module")
	write := flag.Bool("write", false, "bring the files up to date")
	flag.Parse()
	if err := run(*dir, *write); err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(1)
	}
}

func run(dir string, write bool) error {
	now, err := load(dir)
	if err != nil {
		return err
	}
	if write {
		return store(filepath.Join(dir, folder), now)
	}
	golden, err := read(filepath.Join(dir, folder))
	if err != nil {
		return err
	}
	changes := compare(golden, now)
	if len(changes) == 0 {
		return nil
	}
	fmt.Println(strings.Join(changes, "\n"))
	return errors.New("the exported API changed: if that is meant, run make api and commit the files in " + folder)
}

// load returns the lines of each package's API. The keys are import paths within the module; "." is its root.
func load(dir string) (map[string][]string, error) {
	pkgs, err := packages.Load(&packages.Config{
		Mode: packages.LoadAllSyntax | packages.NeedModule,
		Dir:  dir,
		Env:  append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOWORK=off"),
	}, "./...")
	if err != nil {
		return nil, err
	}
	api := map[string][]string{}
	for _, p := range pkgs {
		if len(p.Errors) > 0 {
			return nil, p.Errors[0]
		}
		name := strings.TrimPrefix(strings.TrimPrefix(p.PkgPath, p.Module.Path), "/")
		if p.Name == "main" || slices.Contains(strings.Split(name, "/"), "internal") {
			continue
		}
		if lines := exported(p.Types); len(lines) > 0 {
			api[name] = lines
		}
	}
	return api, nil
}

// fileName is the name of a package's file: bucket/indextest is in bucket.indextest.txt.
func fileName(pkg string) string { return strings.ReplaceAll(pkg, "/", ".") + ".txt" }

func store(dir string, api map[string][]string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for pkg, lines := range api {
		text := strings.Join(lines, "\n") + "\n"
		if err := os.WriteFile(filepath.Join(dir, fileName(pkg)), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// read returns the lines of the files in dir, which may not be there yet.
func read(dir string) (map[string][]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	api := map[string][]string{}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		pkg := strings.ReplaceAll(strings.TrimSuffix(entry.Name(), ".txt"), ".", "/")
		api[pkg] = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	}
	return api, nil
}

// compare returns one line for each line that only one of the two has, in order, under its package's name.
func compare(golden, now map[string][]string) []string {
	var names []string
	for _, api := range []map[string][]string{golden, now} {
		for name := range api {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var changes []string
	for _, name := range slices.Compact(names) {
		var own []string
		for _, line := range golden[name] {
			if !slices.Contains(now[name], line) {
				own = append(own, "  - "+line)
			}
		}
		for _, line := range now[name] {
			if !slices.Contains(golden[name], line) {
				own = append(own, "  + "+line)
			}
		}
		if len(own) > 0 {
			slices.SortStableFunc(own, func(a, b string) int { return strings.Compare(a[4:], b[4:]) })
			changes = append(append(changes, name), own...)
		}
	}
	return changes
}
