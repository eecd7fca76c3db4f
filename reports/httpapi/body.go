package httpapi

import (
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/timeblob/timeblob/reports/connlimit"
)

// body is the body of a request, within its own limit and a shared budget.
type body struct {
	budget *budget
	max    int64
	data   []byte
	taken  int64 // bytes taken from the budget
}

// A buffer has firstRead bytes at first, as much as the connection's own buffer. It always has readAhead bytes or more free,
// unless fewer are to come. Both are small, since thousands of slow clients may each hold a buffer.
const firstRead, readAhead = 4 << 10, 512

// read reads the body of a request to its end. The buffer is at most twice as
// large as what has arrived, whatever length the client announces, and never
// larger than max and twice readAhead. At the end it is a byte larger than the announced length.
func (b *body) read(r *http.Request) error {
	if r.ContentLength > b.max {
		return b.tooLarge()
	}
	for {
		if err := b.room(r.ContentLength); err != nil {
			return err
		}
		n, err := r.Body.Read(b.data[len(b.data):cap(b.data)])
		b.data = b.data[:len(b.data)+n]
		switch {
		case int64(len(b.data)) > b.max:
			return b.tooLarge()
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return cutShort(err)
		}
	}
}

// room makes room for the next read: readAhead bytes, or what is announced to come and a byte for the end. The
// announced length of the body is negative if it is unknown.
func (b *body) room(announced int64) error {
	size := int64(cap(b.data))
	want, most := int64(readAhead), b.max+2*readAhead
	if announced >= 0 {
		left := max(announced-int64(len(b.data)), 0) + 1
		want, most = min(want, left), min(most, int64(len(b.data))+left)
	}
	if size-int64(len(b.data)) >= want {
		return nil
	}
	return b.grow(min(max(firstRead, size), most-size))
}

func (b *body) tooLarge() error {
	return refuse(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes: send a smaller report", b.max)
}

// grow enlarges the buffer, and takes the bytes from the budget.
func (b *body) grow(more int64) error {
	if !b.budget.reserve(more) {
		return tryLater("too many requests are under way: try again later")
	}
	b.taken += more
	b.data = append(make([]byte, 0, int64(cap(b.data))+more), b.data...)
	return nil
}

func (b *body) release() { b.budget.give(b.taken) }

// cutShort returns why a body was not read to its end.
func cutShort(err error) error {
	switch {
	case errors.Is(err, connlimit.ErrEvicted):
		return tryLater(err.Error())
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(http.StatusRequestTimeout, "the body did not come in time: send it faster")
	}
	return refuse(http.StatusBadRequest, "the body ended early: %v", err)
}
