package natsbus

import (
	"context"
	"sync"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"
)

// Bus publishes and subscribes over NATS. It is safe for concurrent use. Call Close at the end.
type Bus struct {
	opts    Options
	servers []string
	metrics *metrics
	trouble rate.Sometimes // limits the log lines about frequent errors

	outgoing chan message
	closing  chan struct{}      // closed by Close
	silence  context.CancelFunc // ends the sender
	hangUp   context.CancelFunc // ends the connection
	talking  sync.WaitGroup     // counts the sender and the listeners
	keeping  sync.WaitGroup     // counts the goroutine that keeps the connection

	mu        sync.Mutex // guards the fields below
	closed    bool
	listeners map[*listener]struct{}
	current   *link         // nil while there is none
	changed   chan struct{} // closed when current changes
}

// become makes a link the current one; nil while there is none. It wakes the callers that wait for a change.
func (b *Bus) become(l *link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current = l
	close(b.changed)
	b.changed = make(chan struct{})
}

// present returns the current link, or nil, and a channel that is closed when the current link changes.
func (b *Bus) present() (*link, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.current, b.changed
}

// link is a connection of nats.go, which reconnects by itself.
type link struct {
	conn   *nats.Conn
	closed chan struct{} // closed after the last callback of a connection that is given up

	// The fields below belong to the callbacks, which nats.go calls one at a time.
	up   bool
	told bool // whether the loss of the connection was logged
}

// await waits for a link.
func (b *Bus) await(ctx context.Context) (*link, error) {
	for {
		l, changed := b.present()
		if l != nil {
			return l, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// complain logs an error that may be frequent, at a limited rate.
func (b *Bus) complain(what string, err error) {
	b.trouble.Do(func() { b.opts.Logger.Warn("nats: "+what, "err", err) })
}

// These are the limits of one subscription for messages that wait for its handler. Keys of shortcuts have
// some 50 bytes.
const (
	maxWaiting      = 256
	maxWaitingBytes = 64 << 10
)

// listener is a subscription from Subscribe until unsubscribe.
type listener struct {
	subject string
	handle  func(payload []byte)
	stop    context.CancelFunc
}

// message is a message to send.
type message struct {
	subject string
	payload []byte
	sent    chan error // has a buffer of one
}

// start counts a listener as running. It returns false when the bus is closed.
func (b *Bus) start(l *listener) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.listeners[l] = struct{}{}
	b.talking.Add(1)
	return true
}

func (b *Bus) leave(l *listener) {
	l.stop()
	b.mu.Lock()
	delete(b.listeners, l)
	b.mu.Unlock()
	b.talking.Done()
}

// stop refuses further calls and ends the listeners.
func (b *Bus) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		close(b.closing)
	}
	for l := range b.listeners {
		l.stop()
	}
}
