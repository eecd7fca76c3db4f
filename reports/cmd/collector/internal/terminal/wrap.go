package terminal

import "strings"

// Columns is the width of a terminal that help and tables assume.
const Columns = 100

// Wrap breaks words into lines of at most the given width. It indents all lines except the first.
func Wrap(b *strings.Builder, words string, indent int) {
	at := indent
	for i, word := range strings.Fields(words) {
		switch {
		case i == 0:
		case at+1+len(word) > Columns:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	b.WriteByte('\n')
}
