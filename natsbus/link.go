package natsbus

import (
	"context"
	"errors"
	"net"

	"github.com/nats-io/nats.go"

	"github.com/timeblob/timeblob/internal/pause"
)

// keep holds a connection until ctx ends. It opens another one when nats.go gives one up.
func (b *Bus) keep(ctx context.Context) {
	for ctx.Err() == nil {
		l, err := b.dial(ctx)
		if err != nil {
			b.complain("cannot connect", err)
		} else {
			b.hold(ctx, l)
		}
		_ = pause.For(ctx, b.opts.ReconnectWait) // the loop ends with ctx
	}
}

// dial returns a link that is connected or tries to connect.
func (b *Bus) dial(ctx context.Context) (*link, error) {
	l := &link{closed: make(chan struct{})}
	opts := b.options(ctx, l)
	conn, err := opts.Connect()
	l.conn = conn
	return l, err
}

// hold makes a link the current one until it is closed. It closes the link when ctx ends.
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

// options returns the options of nats.go for a link. When ctx ends, dialling ends.
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
	o.ReconnectBufSize = -1 // no message is buffered
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

// disconnected is the callback for a lost connection. It may be called more than once for one loss. err is
// nil when this side closed the connection.
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

// failed is the callback for each failed attempt to connect.
func (b *Bus) failed(l *link, err error) {
	if l.told || errors.Is(err, nats.ErrNoServers) { // ErrNoServers sums up the refusals of all servers; the next attempt names one
		return
	}
	l.told = true
	b.opts.Logger.Warn("nats: cannot connect, trying again for ever", "err", err)
}

// erred is the callback of nats.go for errors that no call returns, such as dropped messages and missing permissions.
func (b *Bus) erred(sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrSlowConsumer) && sub != nil {
		b.metrics.count(methodNext, err)
	}
	b.complain("err", err)
}
