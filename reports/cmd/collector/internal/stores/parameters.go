package stores

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
)

// parameters reads the parameters of a location into a driver's options. It records the names that callers
// ask for, and err refuses all others.
type parameters struct {
	values url.Values
	known  []string
	gone   []string // removed parameters, which err does not offer
	errs   []error
}

func (l *location) read() *parameters { return &parameters{values: l.parameters} }

// read sets a variable to the value of a parameter, if it is given.
func read[T any](p *parameters, name, kind string, to *T, parse func(string) (T, error)) {
	p.known = append(p.known, name)
	if !p.values.Has(name) {
		return
	}
	v, err := parse(p.values.Get(name))
	if err != nil {
		p.errs = append(p.errs, fmt.Errorf("parameter %s=%.40s must be %s", name, p.values.Get(name), kind))
		return
	}
	*to = v
}

func (p *parameters) integer(name string, to *int) {
	read(p, name, "a whole number, and not negative", to, func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		return n, notNegative(n, err)
	})
}

func (p *parameters) units(name string, to *int64) {
	read(p, name, "a whole number above 0", to, func(text string) (int64, error) {
		n, err := strconv.ParseInt(text, 10, 64)
		if err == nil && n < 1 {
			err = strconv.ErrRange
		}
		return n, err
	})
}

func (p *parameters) bytes(name string, to *int64) {
	read(p, name, "a number of bytes, as 64MiB", to, func(text string) (int64, error) {
		var s cli.Size
		err := s.Set(text)
		return int64(s), err
	})
}

func (p *parameters) duration(name string, to *time.Duration) {
	read(p, name, "a duration, as 1m30s, and not negative", to, func(text string) (time.Duration, error) {
		d, err := time.ParseDuration(text)
		return d, notNegative(d, err)
	})
}

// notNegative returns err, or an error for a negative number.
func notNegative[N int | time.Duration](n N, err error) error {
	if err == nil && n < 0 {
		return strconv.ErrRange
	}
	return err
}

func (p *parameters) truth(name string, to *bool) {
	read(p, name, "true or false", to, strconv.ParseBool)
}

func (p *parameters) text(name string, to *string) {
	read(p, name, "a text", to, func(text string) (string, error) { return text, nil })
}

// removed refuses a parameter of earlier versions, unless its value equals what this version does anyway.
func (p *parameters) removed(name, same, instead string) {
	if !p.values.Has(name) {
		return
	}
	if value := p.values.Get(name); value != same || same == "" {
		p.errs = append(p.errs, fmt.Errorf("parameter %s is no longer supported: %s; leave it out", name, instead))
	}
	p.gone = append(p.gone, name)
}

// err returns an error for parameters that are wrong or unknown.
func (p *parameters) err() error {
	errs := p.errs
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if !slices.Contains(p.known, name) && !slices.Contains(p.gone, name) {
			errs = append(errs, fmt.Errorf("there is no parameter %.40q, only %s", name, strings.Join(p.known, ", ")))
		}
	}
	return errors.Join(errs...)
}
