package main

import (
	"flag"
	"regexp"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
)

// flagInUsage matches a flag in a form of usage. Two dashes stand before a name and one before a letter.
var flagInUsage = regexp.MustCompile(`--([a-z][a-z-]*[a-z])|(?:^|[^a-z-])-([a-z])\b`)

// TestUsageNamesTheFlags compares the forms of each command's usage with its list of flags. The usage names every flag and no
// other one. The forms of serve, which has some sixty flags, end with "…" instead.
func TestUsageNamesTheFlags(t *testing.T) {
	t.Parallel()
	for _, c := range collector.Commands {
		f := cli.NewFlags(c.Name)
		c.Define(f)
		named := make(map[string]bool)
		for _, form := range c.Usage {
			for _, found := range flagInUsage.FindAllStringSubmatch(form, -1) {
				name := found[1] + found[2]
				if named[name] = true; f.Lookup(name) == nil {
					t.Errorf("%s: the usage names --%s, which is no flag of it", c.Name, name)
				}
			}
			if c.Name == serveCommand.Name && !strings.HasSuffix(form, " …") {
				t.Errorf("serve: the form %q does not say that there are more flags", form)
			}
		}
		f.VisitAll(func(fl *flag.Flag) {
			if !named[fl.Name] && c.Name != serveCommand.Name {
				t.Errorf("%s: the usage does not name --%s", c.Name, fl.Name)
			}
		})
	}
}
