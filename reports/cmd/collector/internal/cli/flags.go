package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/timeblob/timeblob/index"
)

// Flags are the flags of a subcommand. What an argument does not set is taken
// from the environment, and from the default when it is not there either.
type Flags struct {
	*flag.FlagSet
	now     func() time.Time // the same for all flags: the clock is read once
	fromEnv map[string]bool  // the flags that the environment set
	checks  []func() error
	spaced  string // a flag whose value in the arguments begins or ends with white space
}

func NewFlags(name string) *Flags {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	return &Flags{FlagSet: fs, now: sync.OnceValue(time.Now), fromEnv: map[string]bool{}}
}

// Variable returns the environment variable that stands in for a flag.
func Variable(name string) string {
	return "COLLECTOR_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// ParseArgs sets the flags and returns the other arguments, among which flags may
// stand. After "--" nothing is a flag.
func (f *Flags) ParseArgs(args []string, env lookup) ([]string, error) {
	if err := f.parseEnv(env); err != nil {
		return nil, err
	}
	f.VisitAll(func(fl *flag.Flag) { fl.Value = &untrimmed{Value: fl.Value, name: fl.Name, flags: f} })
	var rest []string
	for len(args) > 0 {
		if err := f.Parse(args); err != nil {
			return nil, AsUsage(err)
		}
		if f.spaced != "" {
			return nil, Usagef("%s begins or ends with white space: remove it", dashes(f.spaced))
		}
		if n := len(args) - f.NArg(); n > 0 && args[n-1] == "--" {
			rest, args = append(rest, f.Args()...), nil
			break
		}
		if args = f.Args(); len(args) > 0 {
			rest, args = append(rest, args[0]), args[1:]
		}
	}
	return rest, f.check()
}

// parseEnv sets the flags that the environment holds. They do not count as
// given by an argument.
func (f *Flags) parseEnv(env lookup) (err error) {
	f.VisitAll(func(fl *flag.Flag) {
		value, ok := env(Variable(fl.Name))
		if !ok || value == "" || err != nil {
			return
		}
		if spaced(fl.Value, value) {
			err = Usagef("%s begins or ends with white space: remove it", Variable(fl.Name))
			return
		}
		if e := fl.Value.Set(value); e != nil {
			err = Usagef("%s=%q: %v", Variable(fl.Name), value, e)
		}
		f.fromEnv[fl.Name] = true
	})
	return err
}

// AsUsage makes wrong usage of an error, if there is one.
func AsUsage(err error) error {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	return &usageError{dashed(err.Error())}
}

func (f *Flags) check() error {
	for _, check := range f.checks {
		if err := check(); err != nil {
			return &usageError{err.Error()}
		}
	}
	return nil
}

// Must adds a check that runs once all flags are set.
func (f *Flags) Must(check func() error) { f.checks = append(f.checks, check) }

// given tells whether an argument set the flag.
func (f *Flags) given(name string) (ok bool) {
	f.Visit(func(fl *flag.Flag) { ok = ok || fl.Name == name })
	return ok
}

// Chosen tells whether an argument or the environment set the flag.
func (f *Flags) Chosen(name string) bool { return f.given(name) || f.fromEnv[name] }

// Exclusive demands that at most one of the groups of flags is used. Flags
// that arguments set win over groups of which only the environment set some:
// those get their defaults back.
func (f *Flags) Exclusive(groups ...[]string) {
	f.Must(func() error {
		used, err := onlyOne(groups, f.given, "--")
		if err != nil || used >= 0 {
			f.resetOthers(groups, used)
			return err
		}
		_, err = onlyOne(groups, func(name string) bool { return f.fromEnv[name] }, "")
		return err
	})
}

// onlyOne returns which group has a flag that is set, −1 for none, or an
// error when several have.
func onlyOne(groups [][]string, set func(string) bool, dashes string) (int, error) {
	used, by := -1, ""
	for i, group := range groups {
		for _, name := range group {
			if !set(name) {
				continue
			}
			if used >= 0 && used != i {
				return used, fmt.Errorf("%s and %s cannot be used together", by, written(name, dashes))
			}
			used, by = i, written(name, dashes)
		}
	}
	return used, nil
}

// written is a flag as an argument or, without dashes, as a variable.
func written(name, dashes string) string {
	if dashes == "" {
		return Variable(name)
	}
	return dashes + name
}

// resetOthers gives the flags of all groups but one their defaults back.
func (f *Flags) resetOthers(groups [][]string, used int) {
	for i, group := range groups {
		for _, name := range group {
			if fl := f.Lookup(name); i != used && f.fromEnv[name] {
				fl.Value.Set(fl.DefValue) // a default is valid
				delete(f.fromEnv, name)
			}
		}
	}
}

// Tenant defines --tenant.
func (f *Flags) Tenant() *string {
	tenant := f.String("tenant", "", "the `ID` of the tenant; empty for the one of a collector without tenants")
	f.Must(func() error { return index.CheckTenant(*tenant) })
	return tenant
}
