package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// table is text in columns. Columns of which every cell is a number, but for
// the head, are aligned to the right.
type table struct {
	indent int
	head   bool // the first row names the columns
	rows   [][]string
}

func (t *table) row(cells ...string) {
	for i, c := range cells {
		cells[i] = cut(clean(c), t.widest())
	}
	t.rows = append(t.rows, cells)
}

// write writes the rows, the columns two spaces apart.
func (t *table) write(w io.Writer) error {
	widths, right := t.measure()
	var b strings.Builder
	for _, row := range t.rows {
		line := strings.Repeat(" ", t.indent)
		for i, cell := range row {
			line += pad(cell, widths[i], right[i]) + "  "
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// measure returns the width of every column, and which hold numbers only.
func (t *table) measure() (widths []int, right []bool) {
	for n, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths, right = append(widths, 0), append(right, t.head)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			if n > 0 && !isDigits(cell) {
				right[i] = false
			}
		}
	}
	return widths, right
}

func pad(cell string, width int, right bool) string {
	space := strings.Repeat(" ", width-utf8.RuneCountInString(cell))
	if right {
		return space + cell
	}
	return cell + space
}

// widest returns how many characters of a cell are shown: what leaves room for
// the other columns.
func (t *table) widest() int {
	if t.head {
		return columns / 2
	}
	return columns - 20
}

// cut returns the beginning of s, of at most that many characters.
func cut(s string, characters int) string {
	if runes := []rune(s); len(runes) > characters {
		return string(runes[:characters-1]) + "…"
	}
	return s
}

// clean replaces what could upset a terminal: reports hold what hosts far away
// say.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// humanBytes writes a number of bytes for people, in powers of 1 000.
func humanBytes(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n), -1
	for size >= 999.95 {
		size /= 1000
		unit++
	}
	return fmt.Sprintf("%.1f %cB", size, "kMGTPE"[unit])
}

// plural writes a count of things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
