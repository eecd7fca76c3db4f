package main

import (
	"errors"
	"regexp"
	"strconv"
	"time"
)

// DurationVar defines a flag as flag.FlagSet does. What is wrong with a value is
// said in words.
func (f *flags) DurationVar(to *time.Duration, name string, value time.Duration, usage string) {
	*to = value
	f.Var((*durationValue)(to), name, usage)
}

// IntVar defines a flag as flag.FlagSet does. What is wrong with a value is said
// in words.
func (f *flags) IntVar(to *int, name string, value int, usage string) {
	*to = value
	f.Var((*intValue)(to), name, usage)
}

// Float64Var defines a flag as flag.FlagSet does. What is wrong with a value is
// said in words.
func (f *flags) Float64Var(to *float64, name string, value float64, usage string) {
	*to = value
	f.Var((*floatValue)(to), name, usage)
}

type durationValue time.Duration

func (v *durationValue) String() string { return time.Duration(*v).String() }

func (v *durationValue) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		return errors.New("must be a duration, as 90s or 1h30m")
	}
	*v = durationValue(d)
	return nil
}

type intValue int

func (v *intValue) String() string { return strconv.Itoa(int(*v)) }

func (v *intValue) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return errors.New("must be a whole number")
	}
	*v = intValue(n)
	return nil
}

type floatValue float64

func (v *floatValue) String() string { return strconv.FormatFloat(float64(*v), 'g', -1, 64) }

func (v *floatValue) Set(text string) error {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return errors.New("must be a number")
	}
	*v = floatValue(n)
	return nil
}

// ofFlag finds the name in what package flag says of a flag: one dash stands
// before it, whatever stood in the argument.
var ofFlag = regexp.MustCompile(`^(flag provided but not defined: |flag needs an argument: |` +
	`invalid (?:boolean )?value "(?:[^"\\]|\\.)*" for (?:flag )?)-([^-:][^:]+)`)

// dashed writes the flag in an error of package flag as help does, with two
// dashes, but for one of a single letter.
func dashed(message string) string { return ofFlag.ReplaceAllString(message, "$1--$2") }
