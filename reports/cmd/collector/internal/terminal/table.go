package terminal

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Table is text in columns. Columns of which every cell is a number, but for
// the head, are aligned to the right.
type Table struct {
	Indent int
	Head   bool // the first row names the columns
	Rows   [][]string
}

func (t *Table) Row(cells ...string) {
	for i, c := range cells {
		cells[i] = cut(Clean(c), t.widest())
	}
	t.Rows = append(t.Rows, cells)
}

// Write writes the rows, the columns two spaces apart.
func (t *Table) Write(w io.Writer) error {
	widths, right := t.measure()
	var b strings.Builder
	for _, row := range t.Rows {
		line := strings.Repeat(" ", t.Indent)
		for i, cell := range row {
			line += pad(cell, widths[i], right[i]) + "  "
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// measure returns the width of every column, and which hold numbers only.
func (t *Table) measure() (widths []int, right []bool) {
	for n, row := range t.Rows {
		for i, cell := range row {
			if i == len(widths) {
				widths, right = append(widths, 0), append(right, t.Head)
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
func (t *Table) widest() int {
	if t.Head {
		return Columns / 2
	}
	return Columns - 20
}

// cut returns the beginning of s, of at most that many characters.
func cut(s string, characters int) string {
	if runes := []rune(s); len(runes) > characters {
		return string(runes[:characters-1]) + "…"
	}
	return s
}

// Clean replaces what could upset a terminal: reports hold what hosts far away
// say.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
