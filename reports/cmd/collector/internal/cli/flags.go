package cli

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/timeblob/timeblob/index"
)

// Flags are the flags of a subcommand. Arguments win over environment variables, and these win over defaults.
type Flags struct {
	*flag.FlagSet
	now     func() time.Time // the same time for all flags
	fromEnv map[string]bool  // the flags that the environment set
	checks  []func() error
	spaced  string // the last flag whose argument begins or ends with white space
}

func NewFlags(name string) *Flags {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	return &Flags{FlagSet: fs, now: sync.OnceValue(time.Now), fromEnv: map[string]bool{}}
}

// variablePrefix begins the environment variable of every flag.
const variablePrefix = "COLLECTOR_"

// Variable returns the name of the environment variable for a flag.
func Variable(name string) string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// ParseArgs sets the flags and returns the other arguments. Flags may stand anywhere before "--".
func (f *Flags) ParseArgs(args []string, env lookup) ([]string, error) {
	if err := f.parseEnv(env); err != nil {
		return nil, err
	}
	f.VisitAll(func(fl *flag.Flag) { fl.Value = &untrimmed{Value: fl.Value, name: fl.Name, spaced: &f.spaced} })
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

// parseEnv sets the flags from the environment. They do not count as given by an argument.
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

func (f *Flags) check() error {
	for _, check := range f.checks {
		if err := check(); err != nil {
			return &usageError{err.Error()}
		}
	}
	return nil
}

// Must adds a check that runs after all flags are set.
func (f *Flags) Must(check func() error) { f.checks = append(f.checks, check) }

// given reports whether an argument set the flag.
func (f *Flags) given(name string) (ok bool) {
	f.Visit(func(fl *flag.Flag) { ok = ok || fl.Name == name })
	return ok
}

// Chosen reports whether an argument or the environment set the flag.
func (f *Flags) Chosen(name string) bool { return f.given(name) || f.fromEnv[name] }

// Exclusive allows flags of one of the groups only. When arguments set flags of one group, flags that the
// environment set in other groups get their defaults back.
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

// onlyOne returns the index of the only group with a flag that is set. It returns −1 when there is none, and
// an error when there are several.
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

// written returns a flag's name as an argument or, without dashes, as a variable.
func written(name, dashes string) string {
	if dashes == "" {
		return Variable(name)
	}
	return dashes + name
}

// resetOthers gives the flags of all groups except one their defaults back.
func (f *Flags) resetOthers(groups [][]string, used int) {
	for i, group := range groups {
		for _, name := range group {
			if fl := f.Lookup(name); i != used && f.fromEnv[name] {
				fl.Value.Set(fl.DefValue) // defaults are valid
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
