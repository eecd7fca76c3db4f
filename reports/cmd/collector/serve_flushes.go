package main

import (
	"errors"
	"fmt"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
)

// flushing is how many values a collector stores at a time.
type flushing struct{ usual, most int } // 0 for the default

func defineFlushes(f *cli.Flags) *flushing {
	fl := &flushing{}
	f.IntVar(&fl.usual, "flushes", 0, "store `N` values at a time; 0 for 10, and for 64 with --data, where they share its syncs")
	f.IntVar(&fl.most, "flushes-max", 0, "store up to `N` values at a time while many wait and the store takes them; "+
		"0 for 64, or for --flushes where that is more")
	f.Must(fl.check)
	return fl
}

func (fl *flushing) check() error {
	switch {
	case fl.usual < 0:
		return errors.New("--flushes must not be negative: 0 is for the default")
	case fl.most < 0:
		return errors.New("--flushes-max must not be negative: 0 is for the default")
	case fl.most > 0 && fl.most < fl.usual:
		return fmt.Errorf("--flushes-max %d: must be at least --flushes, which is %d", fl.most, fl.usual)
	}
	return nil
}

// counts returns both numbers as the collector takes them. Where no flag sets
// how many are stored at a time, it follows the store and stays within the bound.
func (fl *flushing) counts(embedded bool) (usual, most int) {
	usual = fl.usual
	if usual == 0 {
		usual = 10 // as in Scope
		if embedded {
			usual = 64
		}
		if fl.most > 0 {
			usual = min(usual, fl.most)
		}
	}
	return usual, fl.most
}
