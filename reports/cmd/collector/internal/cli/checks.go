package cli

import (
	"fmt"
	"time"
)

// Positive returns an error for a duration that is not above zero.
func Positive(name string, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("--%s %v: must be above 0", name, d)
	}
	return nil
}

// AtLeast returns an error for a duration that is shorter than another.
func AtLeast(name string, d, least time.Duration) error {
	if d < least {
		return fmt.Errorf("--%s %v: must be at least %v", name, d, least)
	}
	return nil
}

// AtLeastOne returns an error for a number below 1.
func AtLeastOne(name string, n int) error {
	if n < 1 {
		return fmt.Errorf("--%s %d: must be at least 1", name, n)
	}
	return nil
}

// NotZero returns an error for 0.
func NotZero(name string, s *Size) error {
	if *s == 0 {
		return fmt.Errorf("--%s must not be 0", name)
	}
	return nil
}
