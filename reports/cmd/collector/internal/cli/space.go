package cli

import (
	"flag"
	"strings"
)

// untrimmed wraps a flag's value and records whether an argument has white space at an end. It keeps the
// argument out of the error of package flag, because the argument may be a secret.
type untrimmed struct {
	flag.Value
	name   string
	spaced *string // is set to the name of a flag with white space
}

// Set implements flag.Value.
func (v *untrimmed) Set(text string) error {
	if spaced(v.Value, text) {
		*v.spaced = v.name
		return nil
	}
	return v.Value.Set(text)
}

// IsBoolFlag tells package flag whether the flag may stand without a value.
func (v *untrimmed) IsBoolFlag() bool {
	b, ok := v.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// spaced reports whether a text has white space at an end, and the value does not trim it.
func spaced(v flag.Value, text string) bool {
	_, removes := v.(*token)
	return !removes && strings.TrimSpace(text) != text
}

// token is the value of a flag that holds a secret. It trims white space, because files with secrets often
// end in a newline.
type token string

func (t *token) String() string { return string(*t) }

func (t *token) Set(text string) error {
	*t = token(strings.TrimSpace(text))
	return nil
}

// sendable reports whether an HTTP header can carry the token and a tenants file can hold it.
func (t token) sendable() bool {
	return !strings.ContainsFunc(string(t), func(c rune) bool { return c <= ' ' || c > '~' })
}

// dashes returns a flag as it is written in arguments.
func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
