// Command peers compares this repository's caches, embedded store and codec with others', on the same work in the
// same process:
//
//	go run . [-run REGEXP] [-of REGEXP] [-rounds N] [-cpuprofile FILE]
//
// It prints one table for each kind of work. Contenders take turns in every round, so that a change of the machine's
// speed meets all of them. A figure is the median of the rounds; "× ours" is the median of each round's ratio. Below
// 1.00 the contender is better than this repository where less is better.
//
// Times are processor time of the whole process, collections of garbage included, divided by the operations.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"time"
)

func main() {
	pattern := flag.String("run", "", "only work whose name matches the `regexp`")
	names := flag.String("of", "", "only contenders whose name matches the `regexp`")
	rounds := flag.Int("rounds", 7, "how often each contender runs")
	profile := flag.String("cpuprofile", "", "write a profile of the processor time to this `file`")
	flag.Parse()
	if err := run(*pattern, *names, *rounds, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(pattern, names string, rounds int, profile string) error {
	which, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	of, err := regexp.Compile(names)
	if err != nil {
		return err
	}
	if profile == "" {
		return compare(which, of, rounds, full)
	}
	file, err := os.Create(profile)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return errors.Join(err, file.Close())
	}
	err = compare(which, of, rounds, full)
	pprof.StopCPUProfile()
	return errors.Join(err, file.Close())
}

// compare runs the work that matches with the contenders that match, and prints a table of each.
func compare(which, of *regexp.Regexp, rounds int, s scale) error {
	fmt.Printf("%s %s/%s, %d processors, %d rounds\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), rounds)
	for _, w := range allWork(s) {
		w.contenders = slices.DeleteFunc(w.contenders, func(c contender) bool { return !of.MatchString(c.name) })
		if !which.MatchString(w.name) || len(w.contenders) == 0 {
			continue
		}
		table, err := w.run(rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		fmt.Print(table)
	}
	return nil
}

// scale is how much work there is: full for people, small for tests.
type scale struct {
	keys, hits, callers       int
	fetch                     time.Duration // of keys that the callers miss
	blobs, largeBlobs, writes int
	reports                   int
}

var full = scale{keys: 100_000, hits: 300_000, callers: 100, fetch: 20 * time.Millisecond, blobs: 5_000, largeBlobs: 500, writes: 5_000, reports: 6}

func allWork(s scale) []work {
	return append(append(cacheWork(s), storeWork(s)...), codecWork(s)...)
}
