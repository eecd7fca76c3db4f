package terminal

import "strings"

// Columns is the width of the terminal that help and tables are made for.
const Columns = 100

// Wrap writes words in lines of at most columns; all but the first
// line are indented.
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
