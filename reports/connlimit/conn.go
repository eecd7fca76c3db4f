package connlimit

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// connections holds the open connections.
type connections struct {
	most, maxEvicted int

	mu      sync.Mutex // guards the fields below and the fields of each conn
	held    int        // connections with a slot
	evicted int        // connections without one that are not closed yet
	changed sync.Cond  // a connection was closed, or has begun to wait
	closed  bool

	// The connections with a slot that wait for their clients, as *conn, the
	// longest first: never answered, or answered before.
	unanswered, answered list.List
}

// accept waits for a slot and gives it to a connection. It returns nil when the
// listener is closed.
func (cs *connections) accept(c net.Conn) *conn {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for !cs.closed && !cs.makeRoom() {
		cs.changed.Wait()
	}
	if cs.closed {
		return nil
	}
	cs.held++
	accepted := &conn{Conn: c, of: cs}
	accepted.wait()
	return accepted
}

// makeRoom evicts the connection that has waited longest, unless a slot is free.
// It returns false when none can be evicted yet. The mutex is held.
func (cs *connections) makeRoom() bool {
	if cs.held < cs.most {
		return true
	}
	longest := cs.unanswered.Front()
	if cs.unanswered.Len() <= cs.most/2 && cs.answered.Len() > 0 {
		longest = cs.answered.Front()
	}
	if longest == nil || cs.evicted >= cs.maxEvicted {
		return false
	}
	longest.Value.(*conn).evict()
	return true
}

func (cs *connections) close() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.closed = true
	cs.changed.Broadcast()
}

// conn is an accepted connection.
type conn struct {
	net.Conn
	of *connections

	// Guarded by of.mu.
	waiting  *list.Element // in a list of waiting connections; nil while busy
	answered bool          // a request was answered
	busy     int           // requests that a handler works on
	evicted  bool
	closed   bool
	plain    bool // the server speaks HTTP on it directly, not over TLS
	served   bool // the last request has reached a handler
	begun    bool // a part of the next request has arrived
	late     bool // the last read timed out
	unread   bool // the body of the last request was not read to its end
}

// evict takes the connection's slot away: reads fail from now on as if the
// deadline had passed. The mutex is held.
func (c *conn) evict() {
	c.evicted = true
	c.of.held--
	c.of.evicted++
	c.unlist()
	_ = c.Conn.SetReadDeadline(longAgo)
}

// unlist removes the connection from the waiting ones. The mutex is held.
func (c *conn) unlist() {
	if c.waiting != nil {
		c.list().Remove(c.waiting)
		c.waiting = nil
	}
}

// list returns the list in which the connection waits. The mutex is held.
func (c *conn) list() *list.List {
	if c.answered {
		return &c.of.answered
	}
	return &c.of.unanswered
}

// wait adds the connection to the waiting ones, as the last, unless it is busy.
// The mutex is held.
func (c *conn) wait() {
	c.unlist()
	if !c.evicted && !c.closed && c.busy == 0 {
		c.waiting = c.list().PushBack(c)
		c.of.changed.Broadcast()
	}
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// setPlain notes whether the server speaks HTTP on the connection directly.
func (c *conn) setPlain(plain bool) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.plain = plain
}

// expect notes that the next bytes are a new request.
func (c *conn) expect() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.served, c.begun, c.unread = false, false, false
}

// Read reads, and notes what Close needs to know.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.begun = c.begun || n > 0
	c.late = errors.Is(err, os.ErrDeadlineExceeded)
	return n, err
}

// SetReadDeadline changes nothing for an evicted connection.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.evicted {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// CloseWrite tells the client that nothing more will come.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close releases the slot. A client that sent a part of a header gets an answer
// that says why: the server sends none.
func (c *conn) Close() error {
	if c.lingers() {
		c.linger()
	}
	if text := c.release(); text != "" {
		_ = c.Conn.SetWriteDeadline(time.Now().Add(farewell))
		_, _ = io.WriteString(c.Conn, text)
	}
	return c.Conn.Close()
}

// A client that still sends a body when it is answered would find the connection
// broken, and not see the answer. So Close goes on reading until nothing arrives
// for lingerIdle, for at most lingerMost and lingerBytes.
const (
	lingerIdle  = 500 * time.Millisecond
	lingerMost  = 5 * time.Second
	lingerBytes = 64 << 20
)

// lingers reports whether the client is probably still sending. It is false when
// the server closes, which leaves no time to read.
func (c *conn) lingers() bool {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	return c.unread && !c.late && !c.evicted && !c.closed && !c.of.closed
}

func (c *conn) linger() {
	_ = c.CloseWrite()
	until := time.Now().Add(lingerMost)
	scratch := make([]byte, 16<<10)
	for left := lingerBytes; left > 0 && time.Now().Before(until); {
		_ = c.SetReadDeadline(time.Now().Add(lingerIdle))
		n, err := c.Conn.Read(scratch)
		if err != nil {
			return
		}
		left -= n
	}
}

// farewell bounds the time to write a last answer. It fits into the buffers of a
// connection that had no answer yet.
const farewell = 100 * time.Millisecond

// release releases the slot, once, and returns a last answer; empty for none.
func (c *conn) release() (text string) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.closed {
		return ""
	}
	c.closed = true
	c.unlist()
	if c.evicted {
		c.of.evicted--
	} else {
		c.of.held--
	}
	c.of.changed.Broadcast()
	switch {
	case !c.plain || c.served || !c.begun || !c.late:
		return ""
	case c.evicted:
		return lastAnswer(http.StatusServiceUnavailable, ErrEvicted.Error())
	}
	return lastAnswer(http.StatusRequestTimeout, "the header did not come in time: send it faster")
}

// lastAnswer returns a whole HTTP answer.
func lastAnswer(status int, line string) string {
	retry := ""
	if status == http.StatusServiceUnavailable {
		retry = "Retry-After: " + strconv.Itoa(int(RetryAfter/time.Second)) + "\r\n"
	}
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n%s\n",
		status, http.StatusText(status), "text/plain; charset=utf-8", len(line)+1, retry, line)
}

// RetryAfter is how long an evicted client is told to wait.
const RetryAfter = 3 * time.Second

// ErrEvicted is returned by reads of the body when the connection was evicted.
var ErrEvicted = errors.New("too many connections are open, and this one waited longest for its client: send faster, or try again later")

// Request is a request while a handler answers it, and its body. Its connection
// waits for the client until the body has arrived, and is busy from then on.
type Request struct {
	io.ReadCloser
	conn *conn
	busy bool
}

// Begin tells the listener that a handler begins to answer a request. The handler
// must read the body from the request that Begin returns, and must call End on
// the returned Request when it has answered. When the connection has no limit,
// Begin returns the same request and a nil Request, on which End does nothing.
func Begin(r *http.Request) (*http.Request, *Request) {
	c := connIn(r.Context())
	if c == nil {
		return r, nil
	}
	t := &Request{ReadCloser: r.Body, conn: c}
	c.of.mu.Lock()
	c.served, c.begun = true, false
	c.wait()
	c.of.mu.Unlock()
	if r.Body == nil || r.Body == http.NoBody {
		t.work()
		return r, t
	}
	own := *r
	own.Body = t
	return &own, t
}

// Read reads the body. At its end the connection becomes busy.
func (r *Request) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		r.work()
	case err != nil && r.conn.wasEvicted():
		err = ErrEvicted
	}
	return n, err
}

func (c *conn) wasEvicted() bool {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	return c.evicted
}

// work makes the connection busy.
func (r *Request) work() {
	r.conn.of.mu.Lock()
	defer r.conn.of.mu.Unlock()
	if !r.busy {
		r.busy = true
		r.conn.busy++
		r.conn.unlist()
	}
}

// End makes the connection wait for the next request.
func (r *Request) End() {
	if r == nil {
		return
	}
	r.conn.of.mu.Lock()
	defer r.conn.of.mu.Unlock()
	if r.busy {
		r.conn.busy--
	}
	r.conn.unread = !r.busy
	r.conn.unlist()
	r.conn.answered = true
	r.conn.wait()
}

// connKey is the context key of a request's *conn.
type connKey struct{}

// connIn returns the connection of a request's context, or nil when there is no
// limit.
func connIn(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}
