package memcache

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"testing"

	gomemcache "github.com/bradfitz/gomemcache/memcache"
)

// TestAnnouncedLengthIsBounded announces more than the limit, and more than follows. The limit is lowered, so
// that the test needs no gigabyte.
func TestAnnouncedLengthIsBounded(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go func() {
		_, _ = bufio.NewReader(theirs).ReadString('\n')
		_, _ = io.WriteString(theirs, "VALUE k 0 10001 1\r\n")
	}()
	l := newSession(ours)
	l.conn.longest = 10_000
	defer l.close()
	err := l.exchange(t.Context(), func(c *gomemcache.Client) error {
		_, err := c.GetMulti([]string{"k"})
		return err
	})
	if !errors.Is(err, errTooLong) || !l.spoiled {
		t.Errorf("got %v, spoiled %v; want %v, true", err, l.spoiled, errTooLong)
	}
}

// TestLateSuccessEndsTheConnection ends the context while the answer arrives. The connection must not be used
// again.
func TestLateSuccessEndsTheConnection(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	l := newSession(ours)
	defer l.close()
	ctx, cancel := context.WithCancel(t.Context())
	err := l.exchange(ctx, func(*gomemcache.Client) error { cancel(); return nil })
	if err != nil || !l.spoiled {
		t.Errorf("got %v, spoiled %v; want no error, true", err, l.spoiled)
	}
}
