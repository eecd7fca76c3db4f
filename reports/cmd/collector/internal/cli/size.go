package cli

import (
	"github.com/timeblob/timeblob/internal/human"
)

// Size is a flag that holds a number of bytes.
type Size int64

func (s *Size) String() string { return human.ExactBytes(int64(*s)) }

// Set reads a number of bytes in the forms of human.ParseBytes.
func (s *Size) Set(text string) error {
	n, err := human.ParseBytes(text)
	if err == nil {
		*s = Size(n)
	}
	return err
}

// Size defines a flag that holds a number of bytes.
func (f *Flags) Size(name string, value Size, usage string) *Size {
	s := &value
	f.Var(s, name, usage)
	return s
}
