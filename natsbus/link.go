package natsbus

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/nats-io/nats.go"
)

// link is a connection of nats.go, which connects again by itself.
type link struct {
	conn   *nats.Conn
	closed chan struct{} // closed when it is given up, after its last callback

	// What the callbacks know; nats.go calls them one at a time.
	up   bool
	told bool // that there is no connection
}

// keep holds a connection until ctx ends: another one, where nats.go gave one
// up.
func (b *Bus) keep(ctx context.Context) {
	for ctx.Err() == nil {
		l, err := b.dial(ctx)
		if err != nil {
			b.complain("cannot connect", err)
		} else {
			b.hold(ctx, l)
		}
		select {
		case <-time.After(b.opts.ReconnectWait):
		case <-ctx.Done():
		}
	}
}

// dial returns a link that is connected or tries to be.
func (b *Bus) dial(ctx context.Context) (*link, error) {
	l := &link{closed: make(chan struct{})}
	opts := b.options(ctx, l)
	conn, err := opts.Connect()
	l.conn = conn
	return l, err
}

// hold makes a link the one to use until it is closed, which it is when ctx
// ends.
func (b *Bus) hold(ctx context.Context, l *link) {
	b.become(l)
	defer b.become(nil)
	select {
	case <-l.closed:
		b.opts.Logger.Warn("nats: the server ended the connection, another one is tried", "err", l.conn.LastError())
	case <-ctx.Done():
		l.conn.Close()
		<-l.closed
	}
}

func (b *Bus) become(l *link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current = l
	close(b.changed)
	b.changed = make(chan struct{})
}

// present returns the link at the moment, nil when there is none, and what is
// closed when that changes.
func (b *Bus) present() (*link, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.current, b.changed
}

// await returns a link as soon as there is one.
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

// options are those of nats.go for a link. ctx ends dialling.
func (b *Bus) options(ctx context.Context, l *link) nats.Options {
	o := nats.GetDefaultOptions()
	o.Servers, o.Name, o.TLSConfig = b.servers, b.opts.Name, b.opts.TLS
	o.Timeout, o.FlusherTimeout, o.ReconnectOnFlusherError = b.opts.Timeout, b.opts.Timeout, true
	o.CustomDialer, o.SkipHostLookup = dialer(func(network, address string) (net.Conn, error) {
		return (&net.Dialer{Timeout: b.opts.Timeout}).DialContext(ctx, network, address)
	}), true
	o.RetryOnFailedConnect, o.MaxReconnect, o.IgnoreAuthErrorAbort = true, -1, true
	o.ReconnectWait = b.opts.ReconnectWait
	o.ReconnectJitter, o.ReconnectJitterTLS = b.opts.ReconnectWait, b.opts.ReconnectWait
	o.ReconnectBufSize = -1 // nothing may wait for a connection
	o.PingInterval, o.MaxPingsOut = b.opts.Ping, 1
	o.SubChanLen = maxWaiting
	o.ConnectedCB = func(c *nats.Conn) { b.connected(l, c) }
	o.ReconnectedCB = o.ConnectedCB
	o.DisconnectedErrCB = func(_ *nats.Conn, err error) { b.disconnected(l, err) }
	o.ReconnectErrCB = func(_ *nats.Conn, err error) { b.failed(l, err) }
	o.AsyncErrorCB = func(_ *nats.Conn, sub *nats.Subscription, err error) { b.erred(sub, err) }
	o.ClosedCB = func(*nats.Conn) { close(l.closed) }
	return o
}

// dialer is a nats.CustomDialer.
type dialer func(network, address string) (net.Conn, error)

func (d dialer) Dial(network, address string) (net.Conn, error) { return d(network, address) }

func (b *Bus) connected(l *link, c *nats.Conn) {
	if !l.up {
		b.metrics.connected.Inc()
	}
	l.up, l.told = true, false
	b.opts.Logger.Info("nats: connected", "server", c.ConnectedAddr())
}

// disconnected is called more than once for one loss, and without an error
// when the connection was closed from here.
func (b *Bus) disconnected(l *link, err error) {
	if !l.up {
		return
	}
	b.metrics.connected.Dec()
	l.up, l.told = false, true
	if err != nil {
		b.opts.Logger.Warn("nats: connection lost, trying again for ever", "err", err)
	}
}

// failed is called for each attempt to connect that failed.
func (b *Bus) failed(l *link, err error) {
	if l.told || errors.Is(err, nats.ErrNoServers) { // which stands for the refusals of all; the next attempt says one
		return
	}
	l.told = true
	b.opts.Logger.Warn("nats: cannot connect, trying again for ever", "err", err)
}

// erred is called for what goes wrong beside all calls: dropped messages, and
// what the server does not permit.
func (b *Bus) erred(sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrSlowConsumer) && sub != nil {
		b.metrics.count(methodNext, err)
	}
	b.complain("err", err)
}

// complain logs an error that may come often, now and then.
func (b *Bus) complain(what string, err error) {
	b.trouble.Do(func() { b.opts.Logger.Warn("nats: "+what, "err", err) })
}
