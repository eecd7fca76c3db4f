package main

import (
	"fmt"
	"html"
	"maps"
	"math"
	"slices"
	"strings"
)

// The sizes of the drawing, in pixels.
const (
	panelWidth, panelHeight = 560, 300
	left, right, below      = 90, 260, 60
	above                   = 54
)

// colors are told apart by people who see few colors, too (Okabe and Ito).
var colors = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"}

// panel is one figure of all lines.
type panel struct {
	x, unit string
	lines   []line
}

func draw(title string, panels []panel) string {
	var b strings.Builder
	width, height := left+panelWidth+right, above+len(panels)*(panelHeight+below)
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"13\">\n", width, height)
	fmt.Fprintf(&b, "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n", width, height)
	text(&b, left, 24, "start", title)
	for i, p := range panels {
		p.draw(&b, above+i*(panelHeight+below))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// draw draws the panel with its upper edge at top.
func (p panel) draw(b *strings.Builder, top int) {
	x, y := p.axes()
	atX := func(v float64) int { return left + int(x.place(v)*panelWidth) }
	atY := func(v float64) int { return top + panelHeight - int(y.place(v)*panelHeight) }
	for _, v := range p.measured() {
		rule(b, atX(v), top, atX(v), top+panelHeight)
		text(b, atX(v), top+panelHeight+18, "middle", short(v))
	}
	for _, v := range y.decades() {
		rule(b, left, atY(v), left+panelWidth, atY(v))
		text(b, left-8, atY(v)+4, "end", short(v))
	}
	text(b, left+panelWidth/2, top+panelHeight+38, "middle", p.x)
	text(b, left, top-14, "end", p.unit)
	for i, l := range p.lines {
		color := colors[i%len(colors)]
		var path strings.Builder
		for _, at := range l.points {
			fmt.Fprintf(&path, "%d,%d ", atX(at.x), atY(at.y))
			fmt.Fprintf(b, "<circle cx=\"%d\" cy=\"%d\" r=\"3\" fill=\"%s\"/>\n", atX(at.x), atY(at.y), color)
		}
		fmt.Fprintf(b, "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n", strings.TrimSpace(path.String()), color)
		fmt.Fprintf(b, "<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"12\" fill=\"%s\"/>\n", left+panelWidth+12, top+i*20, color)
		text(b, left+panelWidth+30, top+i*20+11, "start", l.name)
	}
}

// axes returns axes that hold all points.
func (p panel) axes() (x, y axis) {
	x, y = axis{math.Inf(1), math.Inf(-1)}, axis{math.Inf(1), math.Inf(-1)}
	for _, l := range p.lines {
		for _, at := range l.points {
			x, y = x.with(at.x), y.with(at.y)
		}
	}
	return x, axis{math.Pow(10, math.Floor(math.Log10(y.from))), math.Pow(10, math.Ceil(math.Log10(y.to)))}
}

// measured returns the values of the parameter.
func (p panel) measured() []float64 {
	all := make(map[float64]bool)
	for _, l := range p.lines {
		for _, at := range l.points {
			all[at.x] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// axis is a logarithmic axis.
type axis struct{ from, to float64 }

func (a axis) with(v float64) axis { return axis{min(a.from, v), max(a.to, v)} }

// place returns where a value stands, from 0 to 1.
func (a axis) place(v float64) float64 {
	if a.from == a.to {
		return 0.5
	}
	return math.Log(v/a.from) / math.Log(a.to/a.from)
}

// decades returns the powers of ten of an axis that begins with one.
func (a axis) decades() (all []float64) {
	for v := a.from; v < 2*a.to; v *= 10 {
		all = append(all, v)
	}
	return all
}

func short(v float64) string {
	for _, unit := range []struct {
		of   float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= unit.of {
			return fmt.Sprintf("%.3g%s", v/unit.of, unit.name)
		}
	}
	return fmt.Sprintf("%.3g", v)
}

func rule(b *strings.Builder, x1, y1, x2, y2 int) {
	fmt.Fprintf(b, "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"#ddd\"/>\n", x1, y1, x2, y2)
}

func text(b *strings.Builder, x, y int, anchor, words string) {
	fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, html.EscapeString(words))
}
