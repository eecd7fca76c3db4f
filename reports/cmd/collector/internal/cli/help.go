package cli

import (
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
)

// envForms is the part of help about the environment.
var envForms = "A flag that is not given is taken from the environment: --tenant-header from " +
	Variable("tenant-header") + ", and so on. An empty variable counts as not set."

func isHelp(arg string) bool {
	return slices.Contains([]string{"help", "-h", "-help", "--help"}, arg)
}

// help writes the output of "collector help" with these arguments.
func (g *Program) help(w io.Writer, args []string) error {
	if len(args) == 0 || isHelp(args[0]) {
		return g.overview(w)
	}
	c := g.find(args[0])
	if c == nil {
		return unknown(args[0])
	}
	return c.help(w)
}

// overview lists the subcommands.
func (g *Program) overview(w io.Writer) error {
	var b strings.Builder
	b.WriteString(g.Brief + "\n\nUsage:\n")
	t := terminal.Table{Indent: 2}
	for _, c := range g.Commands {
		t.Row("collector "+c.Name, c.Brief)
	}
	t.Row("collector help SUBCOMMAND", "shows its flags")
	t.Row("collector version", "shows which one this is")
	t.Write(&b)
	b.WriteString("\nExit codes: 0 done, 1 something failed, 2 wrong usage.\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// help writes the help of a subcommand.
func (c *Command) help(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "collector %s %s.\n\nUsage:\n", c.Name, c.Brief)
	for _, form := range c.Usage {
		writeForm(&b, "  collector "+c.Name+" ", form)
	}
	for paragraph := range strings.SplitSeq(c.About, "\n\n") {
		b.WriteString("\n")
		terminal.Wrap(&b, paragraph, 0)
	}
	b.WriteString("\nFlags:\n")
	c.helpFlags(&b)
	b.WriteString("\n")
	terminal.Wrap(&b, envForms, 0)
	_, err := io.WriteString(w, b.String())
	return err
}

// valued matches a flag and its value in a form of usage.
var valued = regexp.MustCompile(`(-[a-z-]+) ([A-Z]+)`)

// writeForm writes a form of usage after a head. Flags stay in one line with their values.
func writeForm(b *strings.Builder, head, form string) {
	var lines strings.Builder
	terminal.Wrap(&lines, valued.ReplaceAllString(form, "$1\x00$2"), len(head))
	b.WriteString(head + strings.ReplaceAll(lines.String(), "\x00", " "))
}

// helpFlags writes the flags with their descriptions in one column.
func (c *Command) helpFlags(b *strings.Builder) {
	f := NewFlags(c.Name)
	c.Define(f)
	width := 0
	f.VisitAll(func(fl *flag.Flag) { width = max(width, len(flagHead(fl))) })
	f.VisitAll(func(fl *flag.Flag) {
		fmt.Fprintf(b, "%-*s", width+2, flagHead(fl))
		terminal.Wrap(b, flagText(fl), width+2)
	})
}

// flagHead returns a flag with the name of its value.
func flagHead(fl *flag.Flag) string {
	value, _ := flag.UnquoteUsage(fl)
	if value != "" {
		value = " " + value
	}
	return "  " + dashes(fl.Name) + value
}

// flagText returns a flag's description and default.
func flagText(fl *flag.Flag) string {
	_, text := flag.UnquoteUsage(fl)
	if fl.DefValue == "" || fl.DefValue == "false" {
		return text
	}
	return text + " (default " + fl.DefValue + ")"
}
