package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"syscall"

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

// lookup returns an environment variable, like os.LookupEnv.
type lookup func(name string) (value string, ok bool)

// ErrInterrupted says that a signal interrupted the work.
var ErrInterrupted = errors.New("interrupted")

// usageError says that the command was called wrongly.
type usageError struct{ reason string }

func (e *usageError) Error() string { return e.reason }

func Usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// Run runs the command with args, which do not include its name. It returns the exit code: 0 for success, 1
// for a failure, 2 for wrong usage.
func (g *Program) Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env lookup) int {
	p := &Process{Stdin: stdin, Stdout: stdout, Stderr: terminal.NewWriter(stderr), redact: g.Redact}
	if len(args) == 0 {
		g.overview(stderr)
		return 2
	}
	if isHelp(args[0]) {
		return p.exit("", g.help(stdout, args[1:]))
	}
	if isVersion(args[0]) {
		return p.exit("", showVersion(stdout))
	}
	c := g.find(args[0])
	if c == nil {
		return p.exit("", unknown(args[0]))
	}
	return p.exit(c.Name, c.run(ctx, p, args[1:], env))
}

func (c *Command) run(ctx context.Context, p *Process, args []string, env lookup) error {
	f := NewFlags(c.Name)
	act := c.Define(f)
	args, err := f.ParseArgs(args, env)
	if errors.Is(err, flag.ErrHelp) {
		return c.help(p.Stdout)
	}
	if err != nil {
		return err
	}
	return act(ctx, p, args)
}

// exit reports the error of a subcommand, if any, and returns the exit code.
func (p *Process) exit(subcommand string, err error) int {
	var wrong *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &wrong):
		p.Warn("%v (%q tells more)", err, strings.TrimSpace(programName+" help "+subcommand))
		return 2
	case errors.Is(err, context.Canceled):
		err = ErrInterrupted
	case errors.Is(err, syscall.EPIPE): // the process that reads our output has ended
		return 1
	}
	p.Warn("%v", err)
	return 1
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

func unknown(name string) error {
	return Usagef("there is no subcommand %q", name)
}
