package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"syscall"
)

// command is one subcommand.
type command struct {
	name   string
	usage  []string // what may follow the name, one line for each form
	brief  string   // what it does, in half a line
	about  string   // what else to know; paragraphs are separated by empty lines
	define func(f *flags) action
}

// action runs a subcommand after its flags were set. A cancelled context asks
// it to end soon.
type action func(ctx context.Context, p *process, args []string) error

// commands returns the subcommands in the order in which help lists them.
func commands() []*command {
	return []*command{
		&serveCommand, &pushCommand, &importCommand, &queryCommand, &copyCommand, &inspectCommand, &mergeCommand,
	}
}

// process is what a subcommand has of the world around it.
type process struct {
	stdin  io.Reader
	stdout io.Writer
	stderr *lockedWriter
}

// lookup returns an environment variable, as os.LookupEnv does.
type lookup func(name string) (value string, ok bool)

// usageError says that the command was called wrongly.
type usageError struct{ reason string }

func (e *usageError) Error() string { return e.reason }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// run is the whole command: args do not hold its name. It returns the exit
// code: 0, 1 for a failure, 2 for wrong usage.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env lookup) int {
	p := &process{stdin: stdin, stdout: stdout, stderr: &lockedWriter{w: stderr}}
	if len(args) == 0 {
		overview(stderr)
		return 2
	}
	if isHelp(args[0]) {
		return p.exit("", help(stdout, args[1:]))
	}
	if isVersion(args[0]) {
		return p.exit("", showVersion(stdout))
	}
	c := find(args[0])
	if c == nil {
		return p.exit("", unknown(args[0]))
	}
	return p.exit(c.name, c.run(ctx, p, args[1:], env))
}

func (c *command) run(ctx context.Context, p *process, args []string, env lookup) error {
	f := newFlags(c.name)
	act := c.define(f)
	args, err := f.parse(args, env)
	if errors.Is(err, flag.ErrHelp) {
		return c.help(p.stdout)
	}
	if err != nil {
		return err
	}
	return act(ctx, p, args)
}

// exit reports the error of a subcommand, if any, and returns the exit code.
func (p *process) exit(name string, err error) int {
	var wrong *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &wrong):
		p.warn("%v (%q tells more)", err, strings.TrimSpace("collector help "+name))
		return 2
	case errors.Is(err, context.Canceled):
		err = errInterrupted
	case errors.Is(err, syscall.EPIPE): // whoever read our output has seen enough
		return 1
	}
	p.warn("%v", err)
	return 1
}

// warn writes one line to standard error, without what is secret in locations.
// It begins with the command's name, which some errors do of their own accord.
func (p *process) warn(format string, args ...any) {
	line := hideSecrets(strings.TrimSpace(fmt.Sprintf(format, args...)))
	line = strings.TrimPrefix(line, "collector: ")
	fmt.Fprintf(p.stderr, "collector: %s\n", strings.ReplaceAll(line, "\n", "; "))
}

func find(name string) *command {
	for _, c := range commands() {
		if c.name == name {
			return c
		}
	}
	return nil
}

func unknown(name string) error {
	return usagef("there is no subcommand %q", name)
}
