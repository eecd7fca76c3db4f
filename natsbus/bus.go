package natsbus

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"
)

var (
	// ErrDisconnected is returned for a message that was not sent because
	// there is no connection at the moment.
	ErrDisconnected = errors.New("natsbus: not connected to NATS")

	// ErrClosed is returned by calls that begin after Close, and by those
	// that Close ended.
	ErrClosed = errors.New("natsbus: the bus is closed")
)

// Bus publishes and subscribes over NATS. It is safe for any number of
// goroutines. Close it.
type Bus struct {
	opts    Options
	servers []string
	metrics *metrics
	trouble rate.Sometimes // says of errors that may be many

	outgoing chan message
	closing  chan struct{}      // closed by Close
	silence  context.CancelFunc // ends the sender
	hangUp   context.CancelFunc // ends the connection
	talking  sync.WaitGroup     // the sender and the listeners
	keeping  sync.WaitGroup     // what keeps a connection

	mu        sync.Mutex // guards what follows
	closed    bool
	listeners map[*listener]struct{}
	current   *link         // nil while there is none
	changed   chan struct{} // closed when current changes
}

// message is one to be sent.
type message struct {
	subject string
	payload []byte
	sent    chan error // has room
}

// Open returns a bus on the servers of a URL, see the package comment. It does
// not wait for a connection, and that none can be made is no error.
func Open(url string, opts *Options) (*Bus, error) {
	servers, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	full, err := opts.filled()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(full.Registerer, full.Namespace)
	if err != nil {
		return nil, err
	}
	b := &Bus{opts: full, servers: servers, metrics: m, trouble: rate.Sometimes{Interval: 10 * time.Second},
		outgoing: make(chan message), closing: make(chan struct{}),
		listeners: make(map[*listener]struct{}), changed: make(chan struct{})}
	sending, silence := context.WithCancel(context.Background())
	connected, hangUp := context.WithCancel(context.Background())
	b.silence, b.hangUp = silence, hangUp
	b.talking.Go(func() { b.send(sending) })
	b.keeping.Go(func() { b.keep(connected) })
	return b, nil
}

// Publish hands a payload to the connection, for all who subscribe to the
// subject at the moment; that it reaches them is not known. It returns when ctx
// ends, and the message may then still be sent. The error is ErrDisconnected
// while there is no connection, a *SubjectError for a subject that is not
// literal, or says that the payload is larger than the server takes.
func (b *Bus) Publish(ctx context.Context, subject string, payload []byte) error {
	err := b.publish(ctx, subject, payload)
	b.metrics.count(methodPublish, err)
	return err
}

func (b *Bus) publish(ctx context.Context, subject string, payload []byte) error {
	if err := errors.Join(ctx.Err(), checkSubject(subject)); err != nil {
		return err
	}
	m := message{subject, bytes.Clone(payload), make(chan error, 1)}
	select {
	case b.outgoing <- m:
	case <-ctx.Done():
		return ctx.Err()
	case <-b.closing:
		return ErrClosed
	}
	select {
	case err := <-m.sent:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send hands messages to the connection, one after the other, until ctx ends.
func (b *Bus) send(ctx context.Context) {
	for {
		select {
		case m := <-b.outgoing:
			m.sent <- b.put(m)
		case <-ctx.Done():
			return
		}
	}
}

func (b *Bus) put(m message) error {
	l, _ := b.present()
	if l == nil {
		return ErrDisconnected
	}
	err := l.conn.Publish(m.subject, m.payload)
	if errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrConnectionClosed) {
		return ErrDisconnected // the buffer holds nothing: see link.options
	}
	return err
}

// Subscribe has the payloads that are published to a subject from about now on
// handed to handle, one after the other, until unsubscribe is called; a call
// of handle that is under way then ends by itself. It waits for nothing, and
// whether there is a connection does not matter. handle must return soon: of
// more than 256 payloads, or 64 KiB of them, that wait for it the latest are
// dropped, and so is any larger one. The error is a *SubjectError or ErrClosed.
func (b *Bus) Subscribe(subject string, handle func(payload []byte)) (unsubscribe func(), err error) {
	if err := checkSubject(subject); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &listener{subject: subject, handle: handle, stop: stop}
	if !b.admit(l) {
		stop()
		return nil, ErrClosed
	}
	go func() {
		defer b.leave(l)
		b.listen(ctx, l)
	}()
	return stop, nil
}

// admit counts a listener as running; false when the bus is closed.
func (b *Bus) admit(l *listener) bool {
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

// Close ends subscriptions and the connection, and returns when no goroutine
// is left that could call a handler: within about three times Options.Timeout,
// whatever the server does, and at once when it is well or gone. It may be
// called more than once.
func (b *Bus) Close() error {
	b.stop()
	b.silence()
	b.talking.Wait()
	b.hangUp()
	b.keeping.Wait()
	return nil
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
