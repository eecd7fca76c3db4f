package cli

import (
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// ofKubernetes are variables that Kubernetes sets in each pod beside a service whose name begins with collector.
var ofKubernetes = regexp.MustCompile(`_SERVICE_(HOST|PORT)|_PORT(_[0-9]+_[A-Z]+.*)?$`)

// WarnOfVariables writes a line for each variable that looks like the variable of a flag while no subcommand has
// such a flag. The variables are in the form of os.Environ. A misspelt variable would be ignored silently.
func (g *Program) WarnOfVariables(w io.Writer, environ []string) {
	known := map[string]bool{}
	for _, c := range g.Commands {
		f := NewFlags(c.Name)
		c.Define(f)
		f.VisitAll(func(fl *flag.Flag) { known[Variable(fl.Name)] = true })
	}
	slices.Sort(environ)
	for _, text := range environ {
		name, _, _ := strings.Cut(text, "=")
		if strings.HasPrefix(name, variablePrefix) && !known[name] && !ofKubernetes.MatchString(name) {
			fmt.Fprintf(w, "%s: warning: %s is ignored: there is no such flag\n", programName, name)
		}
	}
}
