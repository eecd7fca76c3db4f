package cli

import (
	"fmt"
	"strconv"
	"time"
)

// worded is the value of a flag. Its errors say in words what the value must be.
type worded[T any] struct {
	to    *T
	kind  string // what the value must be
	parse func(string) (T, error)
}

// define defines a flag with the value.
func (v worded[T]) define(f *Flags, name string, value T, usage string) {
	*v.to = value
	f.Var(v, name, usage)
}

// String returns the value as text. Package flag also calls it on a zero worded.
func (v worded[T]) String() string {
	if v.to == nil {
		return ""
	}
	return fmt.Sprint(*v.to)
}

func (v worded[T]) Set(text string) error {
	value, err := v.parse(text)
	if err != nil {
		return fmt.Errorf("must be %s", v.kind)
	}
	*v.to = value
	return nil
}

// DurationVar defines a flag like flag.FlagSet.DurationVar, and so do BoolVar and IntVar. Their errors say in
// words what the value must be.
func (f *Flags) DurationVar(to *time.Duration, name string, value time.Duration, usage string) {
	worded[time.Duration]{to, "a duration, as 90s or 1h30m", time.ParseDuration}.define(f, name, value, usage)
}

// BoolVar defines a flag that may stand without a value.
func (f *Flags) BoolVar(to *bool, name string, value bool, usage string) {
	*to = value
	f.Var(truth{worded[bool]{to, "true or false", strconv.ParseBool}}, name, usage)
}

// truth is the value of a flag that may stand without one.
type truth struct{ worded[bool] }

func (truth) IsBoolFlag() bool { return true }

func (f *Flags) IntVar(to *int, name string, value int, usage string) {
	worded[int]{to, "a whole number", strconv.Atoi}.define(f, name, value, usage)
}

func (f *Flags) Float64Var(to *float64, name string, value float64, usage string) {
	parse := func(text string) (float64, error) { return strconv.ParseFloat(text, 64) }
	worded[float64]{to, "a number", parse}.define(f, name, value, usage)
}

// TokenVar defines a flag that holds a token.
func (f *Flags) TokenVar(to *string, name, usage string) {
	f.Var((*token)(to), name, usage)
	f.Must(func() error { // not in Set, whose errors package flag puts the secret into
		if !token(*to).sendable() {
			return fmt.Errorf("--%s or %s: a token must be printable ASCII without spaces", name, Variable(name))
		}
		return nil
	})
}
