package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
)

// programName is the name of the command.
const programName = "collector"

// Program is a command with its subcommands.
type Program struct {
	Brief    string     // a sentence about what it does
	Commands []*Command // in the order of help
	// redact removes secrets from lines for standard error.
	Redact func(line string) string
}

// Command is one subcommand.
type Command struct {
	Name   string
	Usage  []string // the arguments after the name; one line for each form
	Brief  string   // what it does, in half a line
	About  string   // further help; empty lines separate paragraphs
	Define func(f *Flags) Action
}

// Action runs a subcommand after its flags are set. When the context ends, the action must return soon.
type Action func(ctx context.Context, p *Process, args []string) error

// Process holds the streams and the environment of a subcommand.
type Process struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr *terminal.Writer
	redact func(line string) string // nil for no redaction
}

// Warn writes one line to standard error, after the command's name, without secrets.
func (p *Process) Warn(format string, args ...any) {
	line := strings.TrimSpace(fmt.Sprintf(format, args...))
	if p.redact != nil {
		line = p.redact(line)
	}
	line = strings.TrimPrefix(line, programName+": ")
	fmt.Fprintf(p.Stderr, "%s: %s\n", programName, strings.ReplaceAll(line, "\n", "; "))
}

func (g *Program) find(name string) *Command {
	for _, c := range g.Commands {
		if c.Name == name {
			return c
		}
	}
	return nil
}
