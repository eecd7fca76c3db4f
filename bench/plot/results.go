package main

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// line is the figures of one benchmark for several values of the parameter.
type line struct {
	name   string
	points []point // ascending
}

type point struct{ x, y float64 }

var processors = regexp.MustCompile(`-\d+$`)

// linesOf returns the lines of a figure, by name, of the output of go test -bench. It leaves out figures that are
// not positive, because the axes are logarithmic.
func linesOf(output, x, unit string) []line {
	figures := make(map[string]map[float64][]float64) // by name of the line, by x
	for text := range strings.Lines(output) {
		fields := strings.Fields(text)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name, at, ok := split(processors.ReplaceAllString(fields[0], ""), x)
		y, found := figure(fields[2:], unit)
		if !ok || !found || at <= 0 || y <= 0 {
			continue
		}
		if figures[name] == nil {
			figures[name] = make(map[float64][]float64)
		}
		figures[name][at] = append(figures[name][at], y)
	}
	var lines []line
	for _, name := range slices.Sorted(maps.Keys(figures)) {
		l := line{name: name}
		for _, at := range slices.Sorted(maps.Keys(figures[name])) {
			l.points = append(l.points, point{at, median(figures[name][at])})
		}
		lines = append(lines, l)
	}
	return lines
}

// split takes the parameter out of a benchmark's name.
func split(name, x string) (rest string, at float64, ok bool) {
	parts := strings.Split(strings.TrimPrefix(name, "Benchmark"), "/")
	for i, part := range parts {
		value, found := strings.CutPrefix(part, x+"=")
		if !found {
			continue
		}
		at, err := strconv.ParseFloat(value, 64)
		return strings.Join(slices.Delete(parts, i, i+1), " "), at, err == nil
	}
	return "", 0, false
}

// figure returns the number before a unit.
func figure(fields []string, unit string) (float64, bool) {
	i := slices.Index(fields, unit)
	if i < 1 {
		return 0, false
	}
	y, err := strconv.ParseFloat(fields[i-1], 64)
	return y, err == nil
}

func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	return (sorted[len(sorted)/2] + sorted[(len(sorted)-1)/2]) / 2
}
