package terminal

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	t.Parallel()
	tab := Table{Indent: 2, Head: true}
	tab.Row("NAME", "COUNT", "NOTE")
	tab.Row("é", "5", "12")
	tab.Row("longer", "1000", "x\x1b[31m\n")
	tab.Row(strings.Repeat("y", 80), "0", "")
	var b strings.Builder
	if err := tab.Write(&b); err != nil {
		t.Fatal(err)
	}
	y := strings.Repeat("y", 49) + "…"
	space := strings.Repeat(" ", 44)
	want := "  NAME  " + space + "  COUNT  NOTE\n" +
		"  é     " + space + "      5  12\n" +
		"  longer" + space + "   1000  x\ufffd[31m\ufffd\n" +
		"  " + y + "      0\n"
	if b.String() != want {
		t.Errorf("got\n%q, want\n%q", b.String(), want)
	}
}
