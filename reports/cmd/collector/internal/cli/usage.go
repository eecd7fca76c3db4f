package cli

import (
	"errors"
	"flag"
	"fmt"
	"regexp"
)

// lookup returns an environment variable, like os.LookupEnv.
type lookup func(name string) (value string, ok bool)

// ErrInterrupted says that a signal interrupted the work.
var ErrInterrupted = errors.New("interrupted")

// usageError says that the command was called wrongly.
type usageError struct{ reason string }

func (e *usageError) Error() string { return e.reason }

// Usagef returns an error of a command that was called wrongly. The exit code is then 2.
func Usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// AsUsage turns an error into one about wrong usage. It returns nil for nil.
func AsUsage(err error) error {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	return &usageError{dashed(err.Error())}
}

func unknown(name string) error {
	return Usagef("there is no subcommand %q", name)
}

// ofFlag finds a flag's name in an error of package flag, which always writes one dash.
var ofFlag = regexp.MustCompile(`^(flag provided but not defined: |flag needs an argument: |` +
	`invalid (?:boolean )?value "(?:[^"\\]|\\.)*" for (?:flag )?)-([^-:][^:]+)`)

// dashed writes the flags in an error of package flag with two dashes, as help does. Flags of one letter keep
// one dash.
func dashed(message string) string { return ofFlag.ReplaceAllString(message, "$1--$2") }
