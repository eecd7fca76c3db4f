//go:build unix

package bench

import (
	"syscall"
	"time"
)

// processorTime returns how long the process has kept processors busy: on a
// machine that does other work too, it says more than the clock.
func processorTime() time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		panic(err) // it fails only for another argument
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
