package reports

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// conn is a connection with a place among others.
type conn struct {
	net.Conn
	of *connections

	// Guarded by of.mu.
	place   *list.Element // among those that wait for their clients; nil for others
	known   bool          // it was answered
	working int           // requests that are worked for
	told    bool          // it had to leave
	closed  bool
	plain   bool // HTTP is spoken on it as it is
	served  bool // the request that came last has reached a handler
	begun   bool // some of the next one has come
	late    bool // and nothing more in time
	unread  bool // the body of the last one was not read to its end
}

// leave takes the connection's place away: what is read from it from now on
// fails as if its time were over. The mutex is held.
func (c *conn) leave() {
	c.told = true
	c.of.staying--
	c.of.leaving++
	c.unlist()
	_ = c.Conn.SetReadDeadline(longAgo)
}

// unlist removes it from those that wait. The mutex is held.
func (c *conn) unlist() {
	if c.place != nil {
		c.line().Remove(c.place)
		c.place = nil
	}
}

// line returns those among which it waits. The mutex is held.
func (c *conn) line() *list.List {
	if c.known {
		return &c.of.known
	}
	return &c.of.strangers
}

// list adds it to those that wait, as the last. The mutex is held.
func (c *conn) list() {
	c.unlist()
	if !c.told && !c.closed && c.working == 0 {
		c.place = c.line().PushBack(c)
		c.of.left.Broadcast()
	}
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// setPlain notes whether HTTP is spoken on the connection as it is.
func (c *conn) setPlain(plain bool) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.plain = plain
}

// expect notes that what comes from now on is a new request.
func (c *conn) expect() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.served, c.begun, c.unread = false, false, false
}

// Read reads and notes what a close will want to know.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.begun = c.begun || n > 0
	c.late = errors.Is(err, os.ErrDeadlineExceeded)
	return n, err
}

// SetReadDeadline changes nothing for one that has to leave.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.told {
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

// Close gives the place back. A client of which half a header came is told why
// no answer will: the server itself does not.
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

// A connection whose client is still sending what nobody will read is read from
// for a while, or the client would find it broken, and not the answer: until
// nothing comes for lingerIdle, for lingerMost, or for lingerBytes.
const (
	lingerIdle  = 500 * time.Millisecond
	lingerMost  = 5 * time.Second
	lingerBytes = 64 << 20
)

// lingers reports whether the client is likely to be sending. When the server
// closes there is no time for that.
func (c *conn) lingers() bool {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	return c.unread && !c.late && !c.told && !c.closed && !c.of.closed
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

// farewell is how long the last words of a connection may take. They fit into
// the buffers of one that has had no answer yet.
const farewell = 100 * time.Millisecond

// release gives the place back, once, and returns what to say at the end.
func (c *conn) release() (text string) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.closed {
		return ""
	}
	c.closed = true
	c.unlist()
	if c.told {
		c.of.leaving--
	} else {
		c.of.staying--
	}
	c.of.left.Broadcast()
	switch {
	case !c.plain || c.served || !c.begun || !c.late:
		return ""
	case c.told:
		return lastWords(http.StatusServiceUnavailable, crowded)
	}
	return lastWords(http.StatusRequestTimeout, "the header did not come in time: send it faster")
}

// lastWords is a whole answer.
func lastWords(status int, line string) string {
	retry := ""
	if status == http.StatusServiceUnavailable {
		retry = "Retry-After: " + strconv.Itoa(int(retryAfter/time.Second)) + "\r\n"
	}
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n%s\n",
		status, http.StatusText(status), mediaText, len(line)+1, retry, line)
}

// crowded is what a connection is told that had to leave.
const crowded = "too many connections are open, and this one waited longest for its client: send faster, or try again later"

// errCrowded is what is read from a connection that had to leave.
var errCrowded = &refusal{status: http.StatusServiceUnavailable, text: crowded, retry: true}

// turn is a request while a handler answers it: first it is the client's, until
// the body has come, then the handler's. It is the request's body.
type turn struct {
	io.ReadCloser
	conn    *conn
	working bool
}

// begin begins the turn of a request, which it returns as a handler should see
// it; nil where there is no limit. The server goes on looking at its own one,
// by which it sees how much of the body was read.
func begin(r *http.Request) (*http.Request, *turn) {
	c := connIn(r.Context())
	if c == nil {
		return r, nil
	}
	t := &turn{ReadCloser: r.Body, conn: c}
	c.of.mu.Lock()
	c.served, c.begun = true, false
	c.list()
	c.of.mu.Unlock()
	if r.Body == nil || r.Body == http.NoBody {
		t.work()
		return r, t
	}
	own := *r
	own.Body = t
	return &own, t
}

// Read reads the body; at its end the turn becomes the handler's.
func (t *turn) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		t.work()
	case err != nil && t.conn.hadToLeave():
		err = errCrowded
	}
	return n, err
}

func (c *conn) hadToLeave() bool {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	return c.told
}

// work makes the turn the handler's.
func (t *turn) work() {
	t.conn.of.mu.Lock()
	defer t.conn.of.mu.Unlock()
	if !t.working {
		t.working = true
		t.conn.working++
		t.conn.unlist()
	}
}

// end ends the turn: the next request is the client's.
func (t *turn) end() {
	if t == nil {
		return
	}
	t.conn.of.mu.Lock()
	defer t.conn.of.mu.Unlock()
	if t.working {
		t.conn.working--
	}
	t.conn.unread = !t.working
	t.conn.unlist()
	t.conn.known = true
	t.conn.list()
}
