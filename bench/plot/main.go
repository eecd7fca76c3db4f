// Command plot draws what go test -bench prints as an SVG file:
//
//	go test -run '^$' -bench Quantum ./bench | go run ./bench/plot -x blobs -y entries/op,ns/op > quantum.svg
//
// The parameters of a benchmark stand in its name as NAME=VALUE, as in BenchmarkQuantum/kept=yes/blobs=20. -x names
// the parameter of the horizontal axis, whose values are numbers. -y names the figures that are drawn, each in a
// panel of its own. Benchmarks that differ in other parts of their names are lines of their own. Both axes are
// logarithmic. A benchmark that ran several times (-count) is drawn at its median.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	x := flag.String("x", "", "the `parameter` of the horizontal axis")
	y := flag.String("y", "ns/op", "the `figures` to draw, separated by commas")
	title := flag.String("title", "", "the `text` above the plot")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, *title, *x, strings.Split(*y, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, title, x string, units []string) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	var panels []panel
	for _, unit := range units {
		p := panel{x: x, unit: unit, lines: linesOf(string(text), x, unit)}
		if len(p.lines) == 0 {
			return fmt.Errorf("no benchmark has the parameter %q and the figure %q", x, unit)
		}
		panels = append(panels, p)
	}
	_, err = io.WriteString(out, draw(title, panels))
	return err
}
