package memcache

import (
	"context"
	"net"
	"time"

	gomemcache "github.com/bradfitz/gomemcache/memcache"
)

// lane is one connection and the client that speaks over it, for one exchange
// at a time.
type lane struct {
	conn    *conn
	client  *gomemcache.Client
	spoiled bool // whether the connection must not be used again
}

func newLane(raw net.Conn) *lane {
	l := &lane{conn: &conn{Conn: raw, longest: maxItem + len("\r\n")}, client: gomemcache.NewFromSelector(here{})}
	l.client.DialContext = l.handOver
	return l
}

// handOver is how the client gets the connection. It asks once only, because
// a lane whose client let go of it is spoiled.
func (l *lane) handOver(context.Context, string, string) (net.Conn, error) { return l.conn, nil }

// exchange lets work ask one thing. It returns when ctx ends, with why it did;
// a *refusal when the server answered that it would not; or what happened to
// the connection.
func (l *lane) exchange(ctx context.Context, work func(*gomemcache.Client) error) error {
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

// wasGone tells whether the last exchange failed as it does when the server
// closed the connection before. Then it may be repeated: what memcached is
// asked here can be asked twice.
func (l *lane) wasGone() bool { return l.conn.failure != nil && !l.conn.heard }

func (l *lane) close() { _ = l.conn.Close() } // nothing is under way that it could break

// conn is a connection whose exchanges are bounded by contexts.
type conn struct {
	net.Conn
	longest int   // bytes that one read may ask for
	heard   bool  // whether anything came in this exchange
	failure error // what first went wrong in it
}

// Read refuses to fill what no item can need: the client has made room for
// what the server announced, but the system gives memory only when it is used.
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

// SetDeadline ignores the client, which grants each item a time of its own.
func (c *conn) SetDeadline(time.Time) error { return nil }

// interrupt ends the exchange that is under way, and all after it.
func (c *conn) interrupt() { _ = c.Conn.SetDeadline(time.Unix(1, 0)) } // fails when it is closed already

// here is the one server that a lane's client knows.
type here struct{}

func (here) PickServer(string) (net.Addr, error)   { return here{}, nil }
func (here) Each(visit func(net.Addr) error) error { return visit(here{}) }
func (here) Network() string                       { return "lane" }
func (here) String() string                        { return "lane" }
