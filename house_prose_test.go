package timeblob_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// turn is a turn of phrase that is hard to read for people whose English is their second language.
type turn struct {
	name    string
	pattern *regexp.Regexp
	most    int // how often it may occur in comments and Markdown
}

func turnOf(name, pattern string, most int) turn {
	return turn{name, regexp.MustCompile(`(?i)\b` + strings.ReplaceAll(pattern, " ", `\s+`) + `\b`), most}
}

// turns may become fewer, and not more: lower a maximum when the count is below it.
var turns = []turn{
	turnOf("whoever", `who(ever|soever)`, 2),
	turnOf("those who", `those who`, 2),
	turnOf("those that", `(those|ones) that`, 4),
	turnOf("of which", `of (which|whom)`, 4),
	turnOf("that of", `(that|those) of`, 5),
	turnOf("of that", `of that`, 5),
	turnOf("is of", `(is|are|was|were) of`, 4),
	turnOf("what is … is", `what (is|are|was|were) [^.;:,]{1,40}? (is|are|was|were)`, 5),
	turnOf("anew", `anew`, 1),
	turnOf("no matter", `no matter`, 1),
}

func TestPlainEnglish(t *testing.T) {
	t.Parallel()
	texts := prose(t)
	for _, turn := range turns {
		var found []string
		for _, text := range texts {
			found = append(found, text.find(turn)...)
		}
		if len(found) > turn.most {
			t.Errorf("%q occurs %d times, at most %d are allowed: write shorter sentences that repeat the noun\n%s",
				turn.name, len(found), turn.most, strings.Join(found[:min(len(found), 300)], "\n"))
		}
	}
}

// text is what one file says to a reader.
type text struct {
	path  string
	parts []part
}

// part is a comment, or a whole document.
type part struct {
	line int
	text string
}

// find returns the places where a text has a turn of phrase. A line's end within a comment is a space.
func (x text) find(turn turn) []string {
	var places []string
	for _, p := range x.parts {
		for _, at := range turn.pattern.FindAllStringIndex(p.text, -1) {
			line := p.line + strings.Count(p.text[:at[0]], "\n")
			places = append(places, fmt.Sprintf("%s:%d: %s", x.path, line, strings.Join(strings.Fields(p.text[at[0]:at[1]]), " ")))
		}
	}
	return places
}

// prose returns the comments of all Go files, and all Markdown.
func prose(t *testing.T) []text {
	t.Helper()
	var all []text
	for _, s := range sources(t) {
		all = append(all, s.comments())
	}
	err := walk(".", func(path string, entry fs.DirEntry) error {
		if filepath.Ext(path) != ".md" {
			return nil
		}
		content, err := os.ReadFile(path)
		all = append(all, text{path, []part{{1, string(content)}}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var commentMark = regexp.MustCompile(`(?m)^[\t ]*//|/\*|\*/`)

// comments returns each group of comments as one text, in which only white space stands for the marks.
func (s source) comments() text {
	x := text{path: s.path}
	for _, group := range s.file.Comments {
		var lines []string
		for _, comment := range group.List {
			lines = append(lines, commentMark.ReplaceAllString(comment.Text, ""))
		}
		x.parts = append(x.parts, part{s.line(group.Pos()), strings.Join(lines, "\n")})
	}
	return x
}

func TestProseRule(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want []string // name of the turn and line
	}{
		{"// f asks who calls.", nil},
		{"// f tells whoever\n// calls.", []string{"whoever 2"}},
		{"// Fine.\n//\n// f is the cache of\n// which b is a part.", []string{"of which 4"}},
		{"// f returns those that are late, and that of a.", []string{"those that 2", "that of 2"}},
		{"// What is late is dropped. What is it?", []string{"what is … is 2"}},
		{"/* It is of\nno use. */", []string{"is of 2"}},
		{"var whoever = \"anew\" // a list of whichever", nil},
		{"// renewal: Anew!", []string{"anew 2"}},
	} {
		s, err := parse("p.go", "package p\n"+c.text+"\nvar x int\n")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, turn := range turns {
			for _, place := range s.comments().find(turn) {
				got = append(got, turn.name+" "+strings.Split(place, ":")[1])
			}
		}
		if strings.Join(got, ", ") != strings.Join(c.want, ", ") {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}
