// Package logtest keeps what is logged, for tests to look at.
package logtest

import (
	"log/slog"
	"strings"
	"sync"
)

// Journal keeps the lines of a log. The zero value is empty and ready; it is
// safe for any number of goroutines.
type Journal struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

// Logger returns a logger that writes to the journal, one line each time.
func (j *Journal) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

func (j *Journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// String returns all that was logged.
func (j *Journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// Lines returns how many lines hold a text.
func (j *Journal) Lines(text string) (n int) {
	for line := range strings.Lines(j.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}
