package cli

import (
	"github.com/timeblob/timeblob/reports/internal/bytesize"
)

// Size is a flag that holds a number of bytes.
type Size int64

func (s *Size) String() string { return bytesize.Format(int64(*s)) }

// Set reads what bytesize.Parse does.
func (s *Size) Set(text string) error {
	n, err := bytesize.Parse(text)
	if err == nil {
		*s = Size(n)
	}
	return err
}

// Size defines a flag of a number of bytes.
func (f *Flags) Size(name string, value Size, usage string) *Size {
	s := &value
	f.Var(s, name, usage)
	return s
}
