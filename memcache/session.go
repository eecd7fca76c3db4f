package memcache

import (
	"context"
	"net"
	"time"

	gomemcache "github.com/bradfitz/gomemcache/memcache"
)

// session is one connection and its client. It does one exchange at a time.
type session struct {
	conn    *conn
	client  *gomemcache.Client
	spoiled bool // whether the connection must not be used again
}

func newSession(raw net.Conn) *session {
	l := &session{conn: &conn{Conn: raw, longest: maxItem + len("\r\n")}, client: gomemcache.NewFromSelector(here{})}
	l.client.DialContext = l.handOver
	return l
}

// handOver gives the connection to the client. The client asks once, because a session whose client dropped
// its connection is spoiled.
func (l *session) handOver(context.Context, string, string) (net.Conn, error) { return l.conn, nil }

// exchange runs work on the session. It returns the context's error when ctx ends, a *refusal when the server
// answered with an error, and else the error of the connection.
func (l *session) exchange(ctx context.Context, work func(*gomemcache.Client) error) error {
	l.conn.heard, l.conn.failure = false, nil
	stop := context.AfterFunc(ctx, l.conn.interrupt)
	err := work(l.client)
	l.spoiled = !stop() || err != nil
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ended(ctx)
	case l.conn.failure == nil:
		return &refusal{err}
	}
	return err
}

// wasGone reports whether the last exchange failed because the server had closed the connection before. Then
// it may be repeated: repeating any of this package's commands is harmless.
func (l *session) wasGone() bool { return l.conn.failure != nil && !l.conn.heard }

func (l *session) close() { _ = l.conn.Close() } // nothing uses the connection any more

// conn is a connection whose exchanges end with their contexts.
type conn struct {
	net.Conn
	longest int   // the most bytes that one read may ask for
	heard   bool  // whether anything was read in this exchange
	failure error // the first error of this exchange
}

// Read refuses to fill a buffer that is larger than any item. The client allocates as much as the server
// announces, but untouched memory costs nothing.
func (c *conn) Read(p []byte) (n int, err error) {
	if len(p) > c.longest {
		err = errTooLong
	} else {
		n, err = c.Conn.Read(p)
	}
	c.heard = c.heard || n > 0
	c.note(err)
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.note(err)
	return n, err
}

func (c *conn) note(err error) {
	if c.failure == nil {
		c.failure = err
	}
}

// SetDeadline ignores the client, which extends the deadline with each item.
func (c *conn) SetDeadline(time.Time) error { return nil }

// interrupt ends the exchange under way and all later ones.
func (c *conn) interrupt() { _ = c.Conn.SetDeadline(time.Unix(1, 0)) } // fails when it is closed already

// here is the server list of a session's client, with one server.
type here struct{}

func (here) PickServer(string) (net.Addr, error)   { return here{}, nil }
func (here) Each(visit func(net.Addr) error) error { return visit(here{}) }
func (here) Network() string                       { return "session" }
func (here) String() string                        { return "session" }
