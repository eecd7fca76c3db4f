package terminal

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/timeblob/timeblob/internal/human"
	"golang.org/x/term"
)

// lineEvery is the interval of progress lines when standard error is not a terminal.
const lineEvery = 10 * time.Second

// progress shows how much of the work is done: a bar on a terminal, else a line at intervals. It is safe for
// concurrent use.
type progress struct {
	what  string // the action, such as "import"
	thing string // its object, such as "file"
	total int
	out   *Writer
	bar   *progressbar.ProgressBar // nil when out is not a terminal

	mu   sync.Mutex
	done int       // guarded by mu
	said time.Time // when the last line was written; guarded by mu
}

// progress starts to show work on the given number of things.
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

// Add reports that one more thing is done.
func (g *progress) Add() {
	if g.bar != nil {
		g.out.locked(func() { g.bar.Add(1) })
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.done++
	g.tell()
}

// Reach reports how many things are done by now.
func (g *progress) Reach(done int) {
	done = min(done, g.total)
	if g.bar != nil {
		g.out.locked(func() { g.bar.Set(done) })
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.done = done
	g.tell()
}

// tell writes a line when it is time for one. The caller holds mu.
func (g *progress) tell() {
	if now := time.Now(); now.Sub(g.said) >= lineEvery {
		g.said = now
		fmt.Fprintf(g.out, "collector: %s %d of %s\n", g.what, g.done, human.Plural(g.total, g.thing))
	}
}

// End removes the bar.
func (g *progress) End() {
	if g.bar != nil {
		g.out.hide(nil)
		g.out.locked(g.clear)
	}
}

func (g *progress) clear() { g.bar.Clear() }

// Writer lets goroutines share a writer. Each write first removes the progress bar.
type Writer struct {
	mu     sync.Mutex
	w      io.Writer
	before func() // removes the bar; nil for none; guarded by mu
}

// NewWriter returns a Writer to w.
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

// isTerminal reports whether the writer is a terminal.
func (l *Writer) isTerminal() bool {
	f, ok := l.w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
