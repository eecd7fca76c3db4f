package terminal

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/timeblob/timeblob/reports/internal/human"
	"golang.org/x/term"
)

// lineEvery is how often long work says on standard error how far it is, when
// that is not a terminal.
const lineEvery = 10 * time.Second

// progress shows how many of the things to do are done: a bar on a terminal,
// else a line now and then. It is safe for any number of goroutines.
type progress struct {
	what  string // is done, such as "import"
	thing string // it is done to, such as "file"
	total int
	out   *Writer
	bar   *progressbar.ProgressBar // nil when out is no terminal

	mu   sync.Mutex
	done int       // guarded by mu
	said time.Time // when the last line was written; guarded by mu
}

// progress starts to show work on that many things.
func StartProgress(out *Writer, what, thing string, total int) *progress {
	g := &progress{what: what, thing: thing, total: total, out: out, said: time.Now()}
	if g.out.isTerminal() {
		g.bar = newBar(g.out.w, what, total)
		g.out.hide(g.clear)
	}
	return g
}

func newBar(w io.Writer, what string, total int) *progressbar.ProgressBar {
	return progressbar.NewOptions(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionSetWidth(40),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish())
}

// Add says that one more is done.
func (g *progress) Add() {
	if g.bar != nil {
		g.out.locked(func() { g.bar.Add(1) })
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.done++
	if now := time.Now(); now.Sub(g.said) >= lineEvery {
		g.said = now
		fmt.Fprintf(g.out, "collector: %s %d of %s\n", g.what, g.done, human.Plural(g.total, g.thing))
	}
}

// End takes the bar away.
func (g *progress) End() {
	if g.bar != nil {
		g.out.hide(nil)
		g.out.locked(g.clear)
	}
}

func (g *progress) clear() { g.bar.Clear() }

// Writer lets goroutines share a writer. What is written while a
// progress bar stands there takes the bar away first.
type Writer struct {
	mu     sync.Mutex
	w      io.Writer
	before func() // takes the bar away; nil when there is none; guarded by mu
}

// NewWriter returns a writer to w that goroutines may share.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

func (l *Writer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.before != nil {
		l.before()
	}
	return l.w.Write(b)
}

func (l *Writer) hide(before func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before = before
}

func (l *Writer) locked(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
}

// isTerminal tells whether a person watches.
func (l *Writer) isTerminal() bool {
	f, ok := l.w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
