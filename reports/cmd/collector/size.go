package main

import (
	"fmt"

	"github.com/timeblob/timeblob/reports/internal/bytesize"
)

// size is a flag that holds a number of bytes.
type size int64

func (s *size) String() string { return bytesize.Format(int64(*s)) }

// Set reads what bytesize.Parse does.
func (s *size) Set(text string) error {
	n, err := bytesize.Parse(text)
	if err == nil {
		*s = size(n)
	}
	return err
}

// notZero refuses a flag that is 0.
func notZero(name string, s *size) error {
	if *s == 0 {
		return fmt.Errorf("--%s must not be 0", name)
	}
	return nil
}

// size defines a flag of a number of bytes.
func (f *flags) size(name string, value size, usage string) *size {
	s := &value
	f.Var(s, name, usage)
	return s
}
