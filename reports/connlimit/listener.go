// Package connlimit limits the connections that wait for their clients, so that
// slow clients cannot keep others out.
//
// A connection waits for its client from when it is accepted or answered until
// the next request has arrived with its body. While a handler works on a request,
// the connection is busy and keeps its slot. When all slots are taken, a new
// connection evicts the one that has waited longest. The server and the handler
// tell the package where each request stands: [Context], [State] and [Begin].
package connlimit

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
)

// Listen returns a listener that holds at most so many connections; below 1 there
// is no limit. When all slots are taken, a new connection evicts the one that
// has waited longest for its client to send a header, a body or the next
// request. It evicts a connection that was never answered as long as those hold
// more than half of the slots, otherwise one that was answered before. Busy
// connections are not evicted; when all are busy, the new one waits.
//
// An evicted client is told why. Up to a quarter more connections may be closing
// after their eviction.
//
// The listener may be below a TLS listener. A slot costs some 20 kB while nothing
// is sent.
func Listen(l net.Listener, most int) net.Listener {
	if most < 1 {
		return l
	}
	limited := &limitedListener{Listener: l, conns: connections{most: most, maxEvicted: most/4 + 1}}
	limited.conns.changed.L = &limited.conns.mu
	return limited
}

type limitedListener struct {
	net.Listener
	conns connections
}

// Accept returns the next connection once there is a slot for it.
func (l *limitedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	accepted := l.conns.accept(c)
	if accepted == nil {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	return accepted, nil
}

// Close ends the listener, and an Accept that waits for a slot.
func (l *limitedListener) Close() error {
	l.conns.close()
	return l.Listener.Close()
}

// Context is the ConnContext of a server. It lets Begin find the connection of a
// request.
func Context(ctx context.Context, c net.Conn) context.Context {
	if limited, plain := connOf(c); limited != nil {
		limited.setPlain(plain)
		return context.WithValue(ctx, connKey{}, limited)
	}
	return ctx
}

// connOf returns the limited connection of a server's connection, and whether the
// server speaks HTTP on it directly, not over TLS. It returns nil when there is
// no limit.
func connOf(c net.Conn) (limited *conn, plain bool) {
	if t, ok := c.(*tls.Conn); ok {
		limited, _ = t.NetConn().(*conn)
		return limited, false
	}
	limited, plain = c.(*conn)
	return limited, plain
}

// State is the ConnState of a server. It notes that the next bytes of a
// connection are a new request.
func State(c net.Conn, state http.ConnState) {
	if state != http.StateIdle {
		return
	}
	if limited, _ := connOf(c); limited != nil {
		limited.expect()
	}
}
