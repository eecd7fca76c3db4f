//go:build profile

package cli

import (
	"log"
	"os"
	"runtime/pprof"
	"time"
)

// profileVariable names the file to which a CPU profile is written. "make pgo" sets the variable.
const profileVariable = "COLLECTOR_CPU_PROFILE"

// profiled is the length of the profile, from the start of the process.
const profiled = time.Minute

func init() {
	f, err := os.Create(os.Getenv(profileVariable))
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		log.Fatalf("%s: %v", profileVariable, err)
	}
	time.AfterFunc(profiled, func() {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			log.Fatalf("%s: %v", profileVariable, err)
		}
	})
}
