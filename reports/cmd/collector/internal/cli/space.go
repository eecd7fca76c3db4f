package cli

import (
	"flag"
	"strings"
)

// untrimmed is a flag's value that notes when an argument sets it to a text with
// white space at an end. Package flag would repeat the text, which may hold a
// secret, in the error.
type untrimmed struct {
	flag.Value
	name  string
	flags *Flags
}

// Set implements flag.Value.
func (v *untrimmed) Set(text string) error {
	if spaced(v.Value, text) {
		v.flags.spaced = v.name
		return nil
	}
	return v.Value.Set(text)
}

// IsBoolFlag tells package flag whether the flag needs no value.
func (v *untrimmed) IsBoolFlag() bool {
	b, ok := v.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// spaced tells whether a text has white space at an end that a value does not
// remove by itself.
func spaced(v flag.Value, text string) bool {
	_, removes := v.(*token)
	return !removes && strings.TrimSpace(text) != text
}

// token is the value of a flag that holds a secret. White space around it is
// removed: files with secrets often end in a new line.
type token string

func (t *token) String() string { return string(*t) }

func (t *token) Set(text string) error {
	*t = token(strings.TrimSpace(text))
	return nil
}

// TokenVar defines a flag of a token.
func (f *Flags) TokenVar(to *string, name, usage string) { f.Var((*token)(to), name, usage) }

// dashes is a flag as it is written among the arguments.
func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
