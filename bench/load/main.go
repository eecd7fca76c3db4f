package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run runs the command and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	opts, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // package flag has printed the reason
	}
	result, err := measure(ctx, opts, stderr)
	if result.outcome != nil { // also when the collector complained
		err = errors.Join(err, result.print(stdout, opts.json), result.verdict())
	}
	if err != nil {
		fmt.Fprintln(stderr, "load:", err)
		return 1
	}
	return 0
}

// outcome is the result of a measurement.
type outcome interface {
	write(w io.Writer) error // for people
	verdict() error          // what went wrong; nil if nothing did
}

// printed is an outcome in its two printed forms.
type printed struct{ outcome }

func (p printed) print(w io.Writer, asJSON bool) error {
	if !asJSON {
		return p.write(w)
	}
	text, err := json.MarshalIndent(p.outcome, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
}

// measure starts or finds a collector, drives it, and stops what it started.
func measure(ctx context.Context, opts *options, stderr io.Writer) (p printed, err error) {
	if opts.kills > 0 {
		k, err := killAgain(ctx, opts, stderr)
		if err != nil {
			return p, err
		}
		return printed{k}, nil
	}
	t, err := reach(ctx, opts, stderr)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	if opts.once > 0 {
		p.outcome, err = visit(ctx, t, opts, stderr)
	} else {
		p.outcome, err = besiege(ctx, t, opts, stderr)
	}
	if err != nil {
		p.outcome = nil
	}
	return p, err
}
