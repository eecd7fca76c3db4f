package faulttest

import (
	"io"
	"net/http"
	"time"

	"github.com/timeblob/timeblob/internal/pause"
)

// body is an answer's body with a fault.
type body struct {
	io.ReadCloser
	fault    *Fault
	request  *http.Request
	position int64
	middle   int64 // half of the length, or 0 when that is unknown
}

func (b *body) Read(p []byte) (int, error) {
	broken := b.fault.Truncate || b.fault.Stall
	if broken && b.position >= b.middle {
		return 0, b.breakOff()
	}
	if broken {
		p = p[:min(int64(len(p)), b.middle-b.position)]
	}
	n, err := b.ReadCloser.Read(p)
	if at := b.middle - b.position; b.fault.Corrupt && at >= 0 && at < int64(n) {
		p[at] ^= 1
	}
	b.position += int64(n)
	if err := pause.For(b.request.Context(), b.fault.Pace*time.Duration(n)>>10); err != nil {
		return 0, err
	}
	return n, err
}

func (b *body) breakOff() error {
	if b.fault.Truncate {
		return ErrReset
	}
	<-b.request.Context().Done()
	return b.request.Context().Err()
}

// closing reports its first Close.
type closing struct {
	io.ReadCloser
	closed func()
}

func (c *closing) Close() error {
	defer c.closed()
	return c.ReadCloser.Close()
}
