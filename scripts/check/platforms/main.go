// Command platforms type-checks and vets the packages of a module, tests included, for other systems than
// this one.
//
//	platforms -C DIR GOOS/GOARCH…
//
// go vet would first compile every dependency for each system, which takes minutes. This command reads
// dependencies from source and skips their function bodies, which takes seconds. It runs the analyzers of go
// vet that need nothing from dependencies, and atomicalign, which finds 64-bit atomics that a 32-bit system
// does not align.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/analysis/passes/assign"
	"golang.org/x/tools/go/analysis/passes/atomic"
	"golang.org/x/tools/go/analysis/passes/atomicalign"
	"golang.org/x/tools/go/analysis/passes/bools"
	"golang.org/x/tools/go/analysis/passes/buildtag"
	"golang.org/x/tools/go/analysis/passes/composite"
	"golang.org/x/tools/go/analysis/passes/copylock"
	"golang.org/x/tools/go/analysis/passes/directive"
	"golang.org/x/tools/go/analysis/passes/errorsas"
	"golang.org/x/tools/go/analysis/passes/httpresponse"
	"golang.org/x/tools/go/analysis/passes/ifaceassert"
	"golang.org/x/tools/go/analysis/passes/loopclosure"
	"golang.org/x/tools/go/analysis/passes/nilfunc"
	"golang.org/x/tools/go/analysis/passes/shift"
	"golang.org/x/tools/go/analysis/passes/sigchanyzer"
	"golang.org/x/tools/go/analysis/passes/stdmethods"
	"golang.org/x/tools/go/analysis/passes/stringintconv"
	"golang.org/x/tools/go/analysis/passes/structtag"
	"golang.org/x/tools/go/analysis/passes/testinggoroutine"
	"golang.org/x/tools/go/analysis/passes/tests"
	"golang.org/x/tools/go/analysis/passes/unmarshal"
	"golang.org/x/tools/go/analysis/passes/unreachable"
	"golang.org/x/tools/go/analysis/passes/unsafeptr"
	"golang.org/x/tools/go/packages"
)

var analyzers = []*analysis.Analyzer{
	assign.Analyzer, atomic.Analyzer, atomicalign.Analyzer, bools.Analyzer, buildtag.Analyzer, composite.Analyzer,
	copylock.Analyzer, directive.Analyzer, errorsas.Analyzer, httpresponse.Analyzer, ifaceassert.Analyzer,
	loopclosure.Analyzer, nilfunc.Analyzer, shift.Analyzer, sigchanyzer.Analyzer, stdmethods.Analyzer,
	stringintconv.Analyzer, structtag.Analyzer, testinggoroutine.Analyzer, tests.Analyzer, unmarshal.Analyzer,
	unreachable.Analyzer, unsafeptr.Analyzer,
}

func main() {
	dir := flag.String("C", ".", "the `directory` of the module to check")
	flag.Parse()
	failed := false
	for _, platform := range flag.Args() {
		findings, err := check(*dir, platform)
		if err != nil {
			findings = append(findings, err.Error())
		}
		for _, finding := range findings {
			fmt.Printf("%s: %s\n", platform, finding)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

// check returns what does not compile and what the analyzers find, each once.
func check(dir, platform string) ([]string, error) {
	system, arch, ok := strings.Cut(platform, "/")
	if !ok {
		return nil, fmt.Errorf("%q is not GOOS/GOARCH", platform)
	}
	pkgs, err := packages.Load(&packages.Config{
		Mode:  packages.LoadAllSyntax | packages.NeedModule,
		Dir:   dir,
		Env:   append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "CGO_ENABLED=0", "GOWORK=off"),
		Tests: true,
	}, "./...")
	if err != nil {
		return nil, err
	}
	var found findings
	packages.Visit(pkgs, nil, func(p *packages.Package) {
		for _, err := range p.Errors {
			found.add(err.Error())
		}
	})
	if len(found.all) > 0 {
		return found.all, nil // the analyzers need packages that compile
	}
	return found.all, found.analyze(pkgs)
}

// findings keeps the order in which they came. A package and its test variant have the same ones.
type findings struct {
	all  []string
	seen map[string]bool
}

func (f *findings) add(finding string) {
	if f.seen == nil {
		f.seen = map[string]bool{}
	}
	if !f.seen[finding] {
		f.seen[finding] = true
		f.all = append(f.all, finding)
	}
}

func (f *findings) analyze(pkgs []*packages.Package) error {
	graph, err := checker.Analyze(analyzers, pkgs, nil)
	if err != nil {
		return err
	}
	for action := range graph.All() {
		if !action.IsRoot {
			continue
		}
		if action.Err != nil {
			f.add(action.Err.Error())
		}
		for _, d := range action.Diagnostics {
			f.add(fmt.Sprintf("%s: %s (%s)", action.Package.Fset.Position(d.Pos), d.Message, action.Analyzer.Name))
		}
	}
	return nil
}
