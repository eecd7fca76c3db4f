package reports

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// LimitConnections returns a listener that lets at most that many connections
// wait for their clients or be worked for; no limit below 1. One more takes
// the place of the one that has waited longest for its client to send
// something: a header, a body, the next request. So clients that dribble make
// room for others: of those that were not answered yet as long as they hold
// more than half of the places, of those that were answered before otherwise.
// Those that a handler works for, or that take an answer, keep their places;
// where all do, the new one waits for one to end.
//
// Who has to leave is told so; a quarter as many more may be about to leave.
//
// It is for the servers of [NewServer], which say who waits for whom, also
// beneath a TLS listener. A place costs some 20 kB while nothing is sent.
func LimitConnections(l net.Listener, most int) net.Listener {
	if most < 1 {
		return l
	}
	limited := &limitedListener{Listener: l, conns: connections{most: most, leavers: most/4 + 1}}
	limited.conns.left.L = &limited.conns.mu
	return limited
}

type limitedListener struct {
	net.Listener
	conns connections
}

// Accept returns the next connection once there is a place for it.
func (l *limitedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	admitted := l.conns.admit(c)
	if admitted == nil {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	return admitted, nil
}

// Close ends the listener, and an Accept that waits for a place.
func (l *limitedListener) Close() error {
	l.conns.close()
	return l.Listener.Close()
}

// connections are those that are open.
type connections struct {
	most, leavers int

	mu      sync.Mutex // guards what follows
	staying int        // that hold places
	leaving int        // that had to give theirs up, and are not closed yet
	left    sync.Cond  // a connection was closed, or has begun to wait
	closed  bool

	// Of *conn: those staying that wait for their clients, the longest first;
	// strangers were never answered, the known ones were.
	strangers, known list.List
}

// admit gives a connection a place, and waits for one; nil when the listener
// is closed.
func (cs *connections) admit(c net.Conn) *conn {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for !cs.closed && !cs.makeRoom() {
		cs.left.Wait()
	}
	if cs.closed {
		return nil
	}
	cs.staying++
	admitted := &conn{Conn: c, of: cs}
	admitted.list()
	return admitted
}

// makeRoom makes the connection leave that has waited longest, if one must;
// false when there is no room yet. The mutex is held.
func (cs *connections) makeRoom() bool {
	if cs.staying < cs.most {
		return true
	}
	longest := cs.strangers.Front()
	if cs.strangers.Len() <= cs.most/2 && cs.known.Len() > 0 {
		longest = cs.known.Front()
	}
	if longest == nil || cs.leaving >= cs.leavers {
		return false
	}
	longest.Value.(*conn).leave()
	return true
}

func (cs *connections) close() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.closed = true
	cs.left.Broadcast()
}

// connKey is the context key of a request's *conn.
type connKey struct{}

// withConn lets a request find its connection.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if limited, plain := connOf(c); limited != nil {
		limited.setPlain(plain)
		return context.WithValue(ctx, connKey{}, limited)
	}
	return ctx
}

// connOf returns the limited connection beneath one that a server has, and
// whether it is that one; nil where there is no limit.
func connOf(c net.Conn) (limited *conn, plain bool) {
	if t, ok := c.(*tls.Conn); ok {
		limited, _ = t.NetConn().(*conn)
		return limited, false
	}
	limited, plain = c.(*conn)
	return limited, plain
}

// connIn returns the connection of a request's context; nil, which all its
// methods take, where there is no limit.
func connIn(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

// noteState is a server's ConnState: what a connection says from now on is a
// new request.
func noteState(c net.Conn, state http.ConnState) {
	if state != http.StateIdle {
		return
	}
	if limited, _ := connOf(c); limited != nil {
		limited.expect()
	}
}
