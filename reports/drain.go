package reports

import (
	"context"
	"net/http"
	"sync"

	"github.com/timeblob/timeblob/bucket"
)

// intake is the reports that are being taken. The zero value is open.
type intake struct {
	mu      sync.Mutex // guards what follows
	closed  bool
	running int
	idle    chan struct{} // closed when the intake is closed and nothing runs; nil while it is open
}

// enter admits a report unless the intake is closed.
func (i *intake) enter() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.closed {
		i.running++
	}
	return !i.closed
}

func (i *intake) leave() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.running--
	i.settle()
}

// settle closes idle when nothing is to come any more. The mutex is held.
func (i *intake) settle() {
	if i.closed && i.running == 0 {
		close(i.idle)
	}
}

// close admits nothing from now on, and returns what is closed once that which
// was admitted is done.
func (i *intake) close() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.closed {
		i.closed, i.idle = true, make(chan struct{})
		i.settle()
	}
	return i.idle
}

// Drain answers every report that comes from now on with 503, when to try again
// and the wish to end the connection. It returns when the reports that came
// before have been taken or refused; when ctx ends first, with its error.
// Questions are answered as before. It may be called again to wait again.
func (h *Handler) Drain(ctx context.Context) error {
	select {
	case <-h.intake.close():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// admitting is an answerer of reports, until the handler is drained.
func (h *Handler) admitting(f answerer) answerer {
	return func(w http.ResponseWriter, r *http.Request) error {
		if !h.intake.enter() {
			w.Header().Set("Connection", "close")
			return bucket.ErrClosed
		}
		defer h.intake.leave()
		return f(w, r)
	}
}
