package natsbus

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"
)

var (
	// ErrDisconnected is returned for a message that was not sent because there is no connection.
	ErrDisconnected = errors.New("natsbus: not connected to NATS")

	// ErrClosed is returned by calls after Close and by calls that Close interrupts.
	ErrClosed = errors.New("natsbus: the bus is closed")
)

// Open returns a bus on the servers of a URL; see the package comment for its form. Open does not wait for a
// connection, and servers that cannot be reached are no error.
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

// Publish sends a payload to all present subscribers of a subject. Success does not mean that they received
// it. Publish returns when ctx ends; the message may still be sent. The error is ErrDisconnected while there
// is no connection, a *SubjectError for a subject that is not literal, or says that the payload exceeds the
// server's limit.
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

// send publishes messages one after the other until ctx ends.
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
		return ErrDisconnected // the buffer is off: see link.options
	}
	return err
}

// Subscribe calls handle with each payload that is published to a subject from about now on, one at a time,
// until unsubscribe is called. A call of handle under way then ends by itself. Subscribe does not wait and
// needs no connection. handle must return soon: when more than 256 payloads or 64 KiB wait for it, the latest
// are dropped, as is any single payload above 64 KiB. The error is a *SubjectError or ErrClosed.
func (b *Bus) Subscribe(subject string, handle func(payload []byte)) (unsubscribe func(), err error) {
	if err := checkSubject(subject); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &listener{subject: subject, handle: handle, stop: stop}
	if !b.start(l) {
		stop()
		return nil, ErrClosed
	}
	go func() {
		defer b.leave(l)
		b.listen(ctx, l)
	}()
	return stop, nil
}

// Close ends the subscriptions and the connection. It returns when no goroutine is left that could call a
// handler. With a server that hangs, that takes about three times Options.Timeout; otherwise it returns at
// once. Close may be called more than once.
func (b *Bus) Close() error {
	b.stop()
	b.silence()
	b.talking.Wait()
	b.hangUp()
	b.keeping.Wait()
	return nil
}
