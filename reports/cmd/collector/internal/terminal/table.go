package terminal

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Table is text in columns. A column in which every cell below the head is a number is aligned to the right.
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

// Write writes the rows with two spaces between columns.
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

// measure returns the width of every column and whether it holds only numbers.
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

// widest returns the largest number of characters of a cell that leaves room for the other columns.
func (t *Table) widest() int {
	if t.Head {
		return Columns / 2
	}
	return Columns - 20
}

// cut returns at most the first n characters of s.
func cut(s string, characters int) string {
	if runes := []rune(s); len(runes) > characters {
		return string(runes[:characters-1]) + "…"
	}
	return s
}

// Clean replaces control characters, which could disturb a terminal. Reports hold text from remote hosts.
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
