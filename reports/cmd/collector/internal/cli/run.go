package cli

import (
	"context"
	"errors"
	"flag"
	"io"
	"strings"
	"syscall"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
)

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
