package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// columns is how wide a terminal help and tables are made for.
const columns = 100

// envForms is what help says about the environment.
var envForms = "A flag that is not given is taken from the environment: --tenant-header from " +
	variable("tenant-header") + ", and so on. An empty variable counts as not set."

func isHelp(arg string) bool {
	return slices.Contains([]string{"help", "-h", "-help", "--help"}, arg)
}

// help writes what "collector help" with these arguments shows.
func help(w io.Writer, args []string) error {
	if len(args) == 0 || isHelp(args[0]) {
		return overview(w)
	}
	c := find(args[0])
	if c == nil {
		return unknown(args[0])
	}
	return c.help(w)
}

// overview lists the subcommands.
func overview(w io.Writer) error {
	var b strings.Builder
	b.WriteString("collector collects Weave Scope's reports and answers what was seen in any window of time.\n\nUsage:\n")
	t := table{indent: 2}
	for _, c := range commands() {
		t.row("collector "+c.name, c.brief)
	}
	t.row("collector help SUBCOMMAND", "shows its flags")
	t.row("collector version", "shows which one this is")
	t.write(&b)
	b.WriteString("\nExit codes: 0 done, 1 something failed, 2 wrong usage.\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// help writes how to use the subcommand.
func (c *command) help(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "collector %s %s.\n\nUsage:\n", c.name, c.brief)
	for _, form := range c.usage {
		fmt.Fprintf(&b, "  collector %s %s\n", c.name, form)
	}
	for paragraph := range strings.SplitSeq(c.about, "\n\n") {
		b.WriteString("\n")
		writeWrapped(&b, paragraph, 0)
	}
	b.WriteString("\nFlags:\n")
	c.helpFlags(&b)
	b.WriteString("\n")
	writeWrapped(&b, envForms, 0)
	_, err := io.WriteString(w, b.String())
	return err
}

// helpFlags writes the flags, their texts aligned.
func (c *command) helpFlags(b *strings.Builder) {
	f := newFlags(c.name)
	c.define(f)
	width := 0
	f.VisitAll(func(fl *flag.Flag) { width = max(width, len(flagHead(fl))) })
	f.VisitAll(func(fl *flag.Flag) {
		fmt.Fprintf(b, "%-*s", width+2, flagHead(fl))
		writeWrapped(b, flagText(fl), width+2)
	})
}

// flagHead is how a flag is written, with the name of its value.
func flagHead(fl *flag.Flag) string {
	value, _ := flag.UnquoteUsage(fl)
	if value != "" {
		value = " " + value
	}
	if len(fl.Name) == 1 {
		return "  -" + fl.Name + value
	}
	return "  --" + fl.Name + value
}

// flagText is what a flag does, and its default.
func flagText(fl *flag.Flag) string {
	_, text := flag.UnquoteUsage(fl)
	if fl.DefValue == "" || fl.DefValue == "false" {
		return text
	}
	return text + " (default " + fl.DefValue + ")"
}

// writeWrapped writes words in lines of at most columns; all but the first
// line are indented.
func writeWrapped(b *strings.Builder, words string, indent int) {
	at := indent
	for i, word := range strings.Fields(words) {
		switch {
		case i == 0:
		case at+1+len(word) > columns:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	b.WriteByte('\n')
}
