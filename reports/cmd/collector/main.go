// Command collector collects Weave Scope's reports. It receives what probes post, stores it in a directory or
// in DynamoDB and S3, and answers questions about any time range. Other subcommands import, query, copy and
// inspect reports; "collector help" lists them.
//
// The exit code is 0 for success, 1 for a failure and 2 for wrong usage. Errors are single lines on standard
// error.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals(signal.Ignored)...)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if len(os.Args) > 1 && os.Args[1] == serveCommand.Name {
		collector.WarnOfVariables(os.Stderr, os.Environ())
	}
	os.Exit(collector.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv))
}

// stopSignals returns the signals that end a command in order. SIGHUP is one, so
// that a terminal that closes costs no report, unless nohup has it ignored.
func stopSignals(ignored func(os.Signal) bool) []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// collector is the command with its subcommands.
var collector = &cli.Program{
	Brief: "collector collects Weave Scope's reports and answers what was seen in any window of time.",
	Commands: []*cli.Command{
		&serveCommand, &replayCommand, &pushCommand, &importCommand, &queryCommand, &copyCommand, &inspectCommand, &mergeCommand,
		&backupCommand, &checkCommand, &repairCommand, &rollupCommand, &deleteCommand,
	},
	Redact: stores.HideSecrets,
}
