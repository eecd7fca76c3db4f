package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// work is one thing that every contender does.
type work struct {
	name, unit string
	more       bool // more is better
	contenders []contender
}

// contender does the work. The first of a work is this repository's.
type contender struct {
	name string
	note string
	// open prepares what all rounds share. round returns its figure; end may be nil.
	open func() (round func() (float64, error), end func() error, err error)
}

// run lets the contenders take turns, and returns the table.
func (w work) run(rounds int) (string, error) {
	figures := make([][]float64, len(w.contenders))
	turns := make([]func() (float64, error), len(w.contenders))
	for i, c := range w.contenders {
		round, end, err := c.open()
		if err != nil {
			return "", fmt.Errorf("%s: %w", c.name, err)
		}
		if end != nil {
			defer end()
		}
		turns[i] = round
	}
	for r := range rounds {
		for step := range turns {
			i := (r + step) % len(turns) // another one begins each round
			figure, err := turns[i]()
			if err != nil {
				return "", fmt.Errorf("%s: %w", w.contenders[i].name, err)
			}
			figures[i] = append(figures[i], figure)
		}
	}
	return w.table(figures), nil
}

func (w work) table(figures [][]float64) string {
	var text strings.Builder
	fmt.Fprintf(&text, "\n%s\n", w.name)
	tw := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	better := "less"
	if w.more {
		better = "more"
	}
	fmt.Fprintf(tw, "  contender\t%s\t× ours\tfrom\tto\t%s is better\n", w.unit, better)
	best := w.best(figures)
	for i, c := range w.contenders {
		note := c.note
		if i == best {
			note = strings.TrimSpace("best " + note)
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\t%s\t%s\n", c.name, short(median(figures[i])), ratio(figures[i], figures[0]),
			short(slices.Min(figures[i])), short(slices.Max(figures[i])), note)
	}
	_ = tw.Flush() // a Builder takes everything
	return text.String()
}

func (w work) best(figures [][]float64) int {
	best := 0
	for i := range figures {
		a, b := median(figures[i]), median(figures[best])
		if w.more && a > b || !w.more && a < b {
			best = i
		}
	}
	return best
}

// ratio is the median of the rounds' ratios, if all have one.
func ratio(a, b []float64) string {
	ratios := make([]float64, len(a))
	for i := range a {
		if b[i] == 0 {
			return "-"
		}
		ratios[i] = a[i] / b[i]
	}
	return fmt.Sprintf("%.2f", median(ratios))
}

func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	return (sorted[len(sorted)/2] + sorted[(len(sorted)-1)/2]) / 2
}

func short(f float64) string {
	if f >= 1000 {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.3g", f)
}

// cpu returns the processor time that f takes, with the collection of its garbage.
func cpu(f func() error) (time.Duration, error) {
	runtime.GC()
	before := spent()
	err := f()
	return spent() - before, err
}

func spent() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // fails only for bad arguments
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// allocations returns how many objects f allocates.
func allocations(f func() error) (float64, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs), err
}

// onCores runs f with so many processors.
func onCores(n int, f func() (float64, error)) (float64, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
	return f()
}
