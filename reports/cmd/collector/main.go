// Command collector collects Weave Scope's reports: it takes what probes post,
// keeps it in a directory or in DynamoDB and S3, and answers what was seen in
// any window of time. The other subcommands feed it, ask it, move what it
// keeps, and look at reports in files; "collector help" lists them.
//
// It exits with 0, with 1 when something failed, and with 2 when it was used
// wrongly. Errors are single lines on standard error.
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(collector.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv))
}

// collector is the command with its subcommands.
var collector = &cli.Program{
	Brief: "collector collects Weave Scope's reports and answers what was seen in any window of time.",
	Commands: []*cli.Command{
		&serveCommand, &pushCommand, &importCommand, &queryCommand, &copyCommand, &inspectCommand, &mergeCommand,
		&backupCommand, &checkCommand, &repairCommand,
	},
	Redact: stores.HideSecrets,
}
