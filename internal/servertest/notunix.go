//go:build !unix

package servertest

import (
	"errors"
	"os"
)

var errCannotStop = errors.New("this system has no signal that stops a process")

func pause(*os.Process) error  { return errCannotStop }
func resume(*os.Process) error { return errCannotStop }
