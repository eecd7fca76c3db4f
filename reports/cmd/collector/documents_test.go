package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	flagNamed = regexp.MustCompile("(?:^|[^a-z-])(--[a-z][a-z-]+)")
	others    = regexp.MustCompile("--(?:app|probe)[.]|`aws [^`]*`") // flags of Scope's programs and of the AWS command
)

// TestDocumentsNameFlagsThatExist compares the flags in README.md and OPERATIONS.md
// with the help of all subcommands.
func TestDocumentsNameFlagsThatExist(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, c := range collector.Commands {
		for _, flag := range regexp.MustCompile("(?m)^ +(--[a-z-]+)").FindAllStringSubmatch(must(t, "help", c.Name), -1) {
			known[flag[1]] = true
		}
	}
	for _, path := range []string{"../../../README.md", "../../OPERATIONS.md"} {
		text := others.ReplaceAllString(string(must1(os.ReadFile(path))), "")
		found := flagNamed.FindAllStringSubmatch(text, -1)
		if len(found) < 10 {
			t.Errorf("%s: only %d flags found", path, len(found))
		}
		for _, flag := range found {
			if name := strings.TrimRight(flag[1], "-"); !known[name] {
				t.Errorf("%s names %s, which no subcommand has", path, name)
			}
		}
	}
}
