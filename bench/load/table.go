package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/timeblob/timeblob/internal/human"
)

// table is text in columns. The first column is aligned to the left. In tables of more than two columns the
// others are aligned to the right.
type table [][]string

func (t *table) row(cells ...string) { *t = append(*t, cells) }

func (t *table) latency(name string, l Latency) {
	t.row(name, fmt.Sprint(l.Count), fmt.Sprint(l.failures()), short(l.P50), short(l.P99), short(l.Max))
}

func (t table) write(w io.Writer) {
	var widths []int
	for _, row := range t {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t {
		var line strings.Builder
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 || len(widths) == 2 {
				cell, space = cell+space, "  "
			} else {
				cell, space = space+cell, "  "
			}
			line.WriteString(cell + space)
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// writeFailures writes a line for each kind of failure.
func (l Latency) writeFailures(w io.Writer) {
	for _, kind := range slices.Sorted(maps.Keys(l.Failed)) {
		fmt.Fprintf(w, "failed %d times: %s; the first: %s\n", l.Failed[kind], kind, l.Reasons[kind])
	}
}

// writeMemory writes memory over time, as figures for each minute and as a line.
func writeMemory(w io.Writer, samples []Sample) {
	t := table{{"AT"}, {"RSS"}, {"heap in use"}}
	for _, s := range minutes(samples) {
		for i, cell := range []string{s.At.Round(time.Second).String(), human.Bytes(s.RSS), human.Bytes(s.HeapInUse)} {
			t[i] = append(t[i], cell)
		}
	}
	t.write(w)
	var rss []float64
	for _, s := range samples {
		rss = append(rss, float64(s.RSS))
	}
	fmt.Fprintf(w, "RSS          %s\n", sparkline(rss, 60))
}

// sparkline draws non-negative values in at most width characters, scaled from 0 to the maximum. A character
// shows the largest of its values.
func sparkline(values []float64, width int) string {
	const bars = "▁▂▃▄▅▆▇█"
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	width = min(width, len(values))
	var line strings.Builder
	for i := range width {
		most := slices.Max(values[i*len(values)/width : (i+1)*len(values)/width])
		height := 0
		if top > 0 {
			height = min(int(most/top*8), 7)
		}
		line.WriteRune([]rune(bars)[height])
	}
	return line.String()
}

// short writes a duration with three digits.
func short(d time.Duration) string {
	for unit := time.Duration(1); unit <= time.Second; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
	return d.Round(time.Second).String()
}
